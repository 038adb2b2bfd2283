"""A corpus a file. The name of the file is the name of the corpus in `data.corpus`.

Each file here names its `ser.corpora.reader.Reader` as `READER`: the grammar of file names, the names of the labels,
how many recordings there are, which are known to be wrong, the licence, what to cite and where to get it. The emotions
that RAVDESS has bear its names.
"""
