"""Label readers: Pascal VOC xml, COCO json, masks, class numbers."""
