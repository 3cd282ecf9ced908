"""Groups of options in the help of avsc-prep."""

OPTION_GROUPS = {
    "Data": "dataset manifest root store out block_size check",
    "What is kept": "products image_short_side image_quality scalogram_q fbank_bands",
    "Limits": "max_megabytes max_seconds max_pixels clip_timeout",
    "Where it runs": "workers memory_limit cluster cluster_config scheduler dashboard part",
    "Measurement": "sample seed",
    "Batch script": "cluster_script walltime cores",
}
