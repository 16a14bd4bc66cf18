"""Networks: the denoising U-Net, pooling, the segmentation decoder and the fusion heads."""
