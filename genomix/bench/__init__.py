"""What genomix costs, and what others do: equality first, then figures.

    ops.py          the mixing operator beside the published formulation and its peers
    train.py        a training run: what a step spends on its data
    predict.py      a prediction: what it spends outside the network
    preprocess.py   sequence files to a dataset: MB/s and memory

Each compares results before it times anything, and gives no speed where they differ. What is timed together is timed in turn, in one process and under one
allocator setting; memory is measured in fresh processes (`children.py` starts them, `child.py` is what they run). This process compares
and collects.
"""
