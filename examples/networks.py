"""The three example networks in PyTorch: a YOLOv3-like detector, a MobileNet-like classifier, a small U-Net."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASS_COUNT = 10
SEGMENT_COUNT = 6  # background, zero..four


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Return a convolution that keeps the size at stride 1, and its batch normalization."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a depthwise 3x3 and a pointwise convolution, each with batch normalization and ReLU6."""
    return nn.Sequential(
        *conv(inputs, inputs, 3, stride, groups=inputs), nn.ReLU6(), *conv(inputs, outputs, 1), nn.ReLU6()
    )


class Residual(nn.Module):
    """``x + body(x)``."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the shape of ``x``."""
        result: Tensor = x + self.body(x)
        return result


class YoloDigits(nn.Module):
    """Detector with two raw heads, ``[N, 3 * (5 + 10), 8, 8]`` and ``[N, 3 * (5 + 10), 16, 16]`` at 128x128."""

    def __init__(self) -> None:
        super().__init__()
        channels = 3 * (5 + CLASS_COUNT)
        self.fine = nn.Sequential(
            *conv(3, 16, 3, 2), nn.ReLU(),
            *conv(16, 32, 3, 2), nn.ReLU(),
            Residual(separable(32, 32)),
            separable(32, 64, 2),
            Residual(separable(64, 64)),
            Residual(separable(64, 64)),
        )  # fmt: skip
        self.coarse = nn.Sequential(separable(64, 128, 2), Residual(separable(128, 128)), Residual(separable(128, 128)))
        self.coarse_head = nn.Sequential(separable(128, 128), nn.Conv2d(128, channels, 1))
        self.lateral = nn.Sequential(*conv(128, 48, 1), nn.LeakyReLU(0.1), nn.Upsample(scale_factor=2, mode="nearest"))
        self.fine_head = nn.Sequential(separable(112, 96), separable(96, 96), nn.Conv2d(96, channels, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the coarse and the fine head of images ``[N, 3, 128, 128]``."""
        fine = self.fine(x)
        coarse = self.coarse(fine)
        joined = torch.cat([self.lateral(coarse), fine], dim=1)
        return self.coarse_head(coarse), self.fine_head(joined)


def inverted_residual(inputs: int, outputs: int, stride: int, expansion: int) -> nn.Module:
    """Return MobileNetV2's block: expand, depthwise, linear projection; with a shortcut when the shape stays."""
    hidden = inputs * expansion
    body = (
        *conv(inputs, hidden, 1), nn.ReLU6(),
        *conv(hidden, hidden, 3, stride, groups=hidden), nn.ReLU6(),
        *conv(hidden, outputs, 1),
    )  # fmt: skip
    return Residual(*body) if stride == 1 and inputs == outputs else nn.Sequential(*body)


class MobileNetDigits(nn.Module):
    """Classifier of 32x32 pictures, logits ``[N, 10]``."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *conv(3, 16, 3, 2), nn.ReLU6(),
            separable(16, 24),
            inverted_residual(24, 32, 2, 4),
            inverted_residual(32, 32, 1, 4),
            inverted_residual(32, 64, 2, 4),
            inverted_residual(64, 64, 1, 3),
            *conv(64, 128, 1), nn.ReLU6(),
        )  # fmt: skip
        self.classifier = nn.Linear(128, CLASS_COUNT)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images ``[N, 3, 32, 32]``."""
        logits: Tensor = self.classifier(functional.adaptive_avg_pool2d(self.features(x), 1).flatten(1))
        return logits


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Return a full and a separable 3x3 convolution with ReLU."""
    return nn.Sequential(*conv(inputs, outputs), nn.ReLU(), separable(outputs, outputs))


class UNetDigits(nn.Module):
    """Segmentation of 96x96 pictures, logits ``[N, 6, 96, 96]`` (background, zero..four)."""

    def __init__(self) -> None:
        super().__init__()
        self.level0 = nn.Sequential(*conv(3, 8), nn.ReLU())
        self.level1 = double_conv(8, 24)
        self.level2 = double_conv(24, 48)
        self.level3 = nn.Sequential(separable(48, 96), Residual(separable(96, 96)))
        self.level4 = nn.Sequential(separable(96, 128), Residual(separable(128, 128)))
        self.up3 = nn.Sequential(*conv(128, 64, 1), nn.ReLU(), nn.Upsample(scale_factor=2, mode="bilinear"))
        self.join3 = separable(160, 64)
        self.up2 = nn.ConvTranspose2d(64, 40, 2, 2)
        self.join2 = separable(88, 40)
        self.up1 = nn.ConvTranspose2d(40, 24, 2, 2)
        self.join1 = separable(48, 24)
        self.up0 = nn.ConvTranspose2d(24, 8, 2, 2)
        self.join0 = nn.Sequential(*conv(16, 12), nn.ReLU(), nn.Conv2d(12, SEGMENT_COUNT, 1))
        self.shrink = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images ``[N, 3, 96, 96]``."""
        skip0 = self.level0(x)
        skip1 = self.level1(self.shrink(skip0))
        skip2 = self.level2(self.shrink(skip1))
        skip3 = self.level3(self.shrink(skip2))
        deep = self.level4(self.shrink(skip3))
        deep = self.join3(torch.cat([self.up3(deep), skip3], dim=1))
        deep = self.join2(torch.cat([self.up2(deep), skip2], dim=1))
        deep = self.join1(torch.cat([self.up1(deep), skip1], dim=1))
        logits: Tensor = self.join0(torch.cat([self.up0(deep), skip0], dim=1))
        return logits
