"""The text of ``slimai --help``."""

HELP = """\
slimai: tune post-training quantization for a fixed-point target.

usage: slimai +model=NAME [section.key=value ...]       one job
       slimai -m +model=NAME section.key=a,b,c ...      one job a combination (Hydra multirun)
       slimai COMMAND [--help]

examples:
  slimai +model=yolo
  slimai +model=yolo quantization.accuracy_level=[1,3] 'quantization.range="96:100:2"'
  slimai -m +model=yolo quantization.accuracy_level=0,1,2,3

commands:
  init       write a preset and image lists for a network of your own
  validate   check configurations and the files they name; every mistake at once
  models     presets that can run here, and what the others need
  explain    where each value of a job comes from, what it overrode, what it means
  convert    legacy .cfg to YAML
  export     YAML to a legacy .cfg with the tuned values
  schema     write the JSON Schemas of the configuration
  inspect    table of a model's nodes: shapes, MACs, integer kernel or host
  simulate   run an already quantized model through the integer simulator
  codegen    portable C of a finished run or an already quantized model
  metric     score dumped blobs without running a model
  rerun      a run once more, with the same bytes, or what has changed since
  report     rebuild the HTML report of a run
  diff       tensors that differ between two profiles

-sc install=bash (zsh, fish) writes what makes TAB complete commands, presets, keys and values.
--quiet says nothing but warnings and the table at the end.
Hydra's own flags work too: --cfg job, --info defaults, --hydra-help. SLIMAI_DEBUG=1 shows tracebacks.
exit codes: 0 done, 1 the job failed, 2 the input is wrong, 3 done but a stated bound is missed, 130 interrupted
"""
