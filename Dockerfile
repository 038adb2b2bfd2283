# The app with what it needs for an .onnx model: no GPU, no PyTorch. The pretrained models are in it; yours come with a
# volume:
#
#   docker build --tag ser .
#   docker run --rm --publish 8501:8501 --volume "$PWD/outputs:/home/ser/outputs:ro" ser
#
# also offers the .onnx models below outputs/; --env SER_CHECKPOINT=outputs/<run>/model.onnx settles on one.
FROM python:3.11-slim-bookworm

RUN useradd --create-home --uid 10001 ser
WORKDIR /home/ser

# Before the sources, so that a change to them does not install the packages again. All are wheels, and soundfile's
# holds libsndfile: there is nothing to install by apt.
COPY app/requirements.txt app/requirements.txt
RUN pip install --no-cache-dir --only-binary :all: --requirement app/requirements.txt

COPY LICENSE LICENSE
COPY ser ser
COPY app app

# Nothing of the image changes, so nothing is watched; and what the server prints is seen at once.
ENV STREAMLIT_SERVER_FILE_WATCHER_TYPE=none PYTHONUNBUFFERED=1
USER 10001
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["streamlit", "run", "app/app.py", "--server.address=0.0.0.0", "--server.port=8501"]
