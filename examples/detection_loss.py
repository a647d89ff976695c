"""Loss of the YOLOv3-like detector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from evaluate import ANCHORS, STRIDES
from torch import Tensor
from torch.nn import functional

IGNORE_IOU = 0.6  # a prediction which overlaps an object by more than this is not background
SHARE_IOU = 0.7  # an anchor whose shape fits an object by more than this is responsible for it too


def corners(centre_size: Tensor) -> Tensor:
    """Return ``(left, top, right, bottom)`` of boxes ``(centre x, centre y, width, height)``, ``[..., 4]``."""
    half = centre_size[..., 2:4] / 2.0
    return torch.cat([centre_size[..., :2] - half, centre_size[..., :2] + half], dim=-1)


def overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the IoU and the generalized IoU (Rezatofighi 2019) of corner boxes ``[..., 4]``, broadcast."""
    common = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0.0).prod(-1)
    areas = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    union = areas - common
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    iou = common / union
    return iou, iou - (hull - union) / hull


def decode(head: Tensor, anchors: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return boxes ``[N, A, H, W, 4]`` (centre, size; pixels) and logits ``[N, A, H, W, 11]`` of a raw head."""
    batch, _, height, width = head.shape
    grid = head.view(batch, len(anchors), -1, height, width).permute(0, 1, 3, 4, 2)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centre = (grid[..., :2].sigmoid() + torch.stack([x, y], dim=-1)) * stride
    size = grid[..., 2:4].clamp(-4.0, 4.0).exp() * anchors[None, :, None, None, :]
    return torch.cat([centre, size], dim=-1), grid[..., 4:]


def responsible(sizes: Tensor) -> Tensor:
    """Return which of the six anchors answer for objects of ``sizes [M, 2]``, ``[M, 6] bool``."""
    anchors = torch.tensor(ANCHORS).reshape(-1, 2)
    common = torch.minimum(sizes[:, None], anchors[None]).prod(-1)
    iou = common / (sizes.prod(-1)[:, None] + anchors.prod(-1)[None] - common)
    return (iou > SHARE_IOU) | (iou == iou.max(dim=1, keepdim=True).values)


def detection_loss(heads: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Return box, objectness and class loss, a mean over the images.

    Args:
        heads: raw outputs, coarse first.
        labels: ``[N, 5, 5]``: centre x, centre y, width, height (pixels) and class, -1 in unused rows.
    """
    image, slot = torch.nonzero(labels[..., 4] >= 0, as_tuple=True)
    objects = labels[image, slot]
    answers = responsible(objects[:, 2:4])
    total = torch.zeros(())
    for number, (head, stride) in enumerate(zip(heads, STRIDES, strict=True)):
        anchors = torch.tensor(ANCHORS[number])
        boxes, logits = decode(head, anchors, stride)
        row, anchor = torch.nonzero(answers[:, 3 * number : 3 * number + 3], as_tuple=True)
        cell = (objects[row, :2] / stride).long()
        place = (image[row], anchor, cell[:, 1], cell[:, 0])

        wanted = torch.zeros(logits.shape[:-1])
        wanted[place] = 1.0
        with torch.no_grad():
            iou, _ = overlaps(corners(boxes).unsqueeze(-2), corners(labels)[:, None, None, None])
            iou = torch.where(labels[:, None, None, None, :, 4] >= 0, iou, torch.zeros(()))
            counted = (iou.max(dim=-1).values < IGNORE_IOU) | (wanted > 0)
        objectness = functional.binary_cross_entropy_with_logits(logits[..., 0], wanted, reduction="none")
        total = total + (objectness * counted).sum()

        _, fit = overlaps(corners(boxes[place]), corners(objects[row]))
        classes = functional.one_hot(objects[row, 4].long(), logits.shape[-1] - 1).float()
        likelihood = functional.binary_cross_entropy_with_logits(logits[place][:, 1:], classes, reduction="sum")
        total = total + 2.0 * (1.0 - fit).sum() + likelihood
    return total / len(labels)
