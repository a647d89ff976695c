from slimai.app.api import load_config as load_config
from slimai.app.api import run as run
from slimai.app.api import validate as validate
from slimai.app.run.result import RunResult as RunResult
from slimai.errors import Diagnostic as Diagnostic
from slimai.errors import InputError as InputError
from slimai.errors import SlimaiError as SlimaiError
from slimai.errors import UnsupportedError as UnsupportedError
from slimai.metrics.base import Result as Result
from slimai.schema.root import SlimaiConfig as SlimaiConfig
from slimai.search.candidate import Candidate as Candidate
from slimai.search.candidate import Outcome as Outcome
from slimai.search.events import Silent as Silent

__version__: str
