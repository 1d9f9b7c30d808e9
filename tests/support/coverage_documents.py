"""Documents of labelling tools with an object of each kind."""

OUTLINE = [0, 0, 30, 0, 30, 30]
COCO = {
    "images": [{"id": 1, "file_name": "images/a.png", "height": 48, "width": 64}],
    "categories": [{"id": 1, "name": "road"}],
    "annotations": [
        {"image_id": 1, "category_id": 1, "segmentation": [OUTLINE]},
        {"image_id": 1, "category_id": 1, "segmentation": {"size": [48, 64], "counts": [3000, 72]}},
    ],
}
POINTS = {"type": "polygonlabels", "value": {"polygonlabels": ["road"], "points": [[0, 0], [50, 0], [50, 50]]}}
BRUSH = {"type": "brushlabels", "value": {"brushlabels": ["road"], "format": "rle", "rle": [0, 0, 1, 2, 3]}}
LABEL_STUDIO = [
    {
        "data": {"image": "/images/a.png"},
        "annotations": [{"result": [one | {"original_height": 48, "original_width": 64} for one in (POINTS, BRUSH)]}],
    }
]
