"""The plug-in that docs/metrics/custom.md takes for granted: the share of outputs above a threshold."""

from file_utils import blob_file_reader
from metric import custom_metric_base


class my_metric(custom_metric_base):  # noqa: N801 - the class has the file's name
    """The vendor's form."""

    def init_params(self, params):
        self.threshold = float(params.split("threshold=")[1])

    def load_and_analysis(self, blobsfile, imglist):
        read = [blob_file_reader(blobs[0]) for blobs in self._prep_filelist(blobsfile, imglist)]
        return float(sum((values > self.threshold).mean() for values in read) / len(read))

    def accumulate_results(self, *results):
        return results
