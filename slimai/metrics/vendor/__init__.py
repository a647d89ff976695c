"""What plug-ins of the vendor's tools import: `file_utils`, `metric`, `metric_test`.

The three modules stand here under those names. They answer to them only while a plug-in is being loaded or
run (`slimai.metrics.vendor.modules`), or in a script that is started by ``python -m slimai.metrics.vendor``.
"""
