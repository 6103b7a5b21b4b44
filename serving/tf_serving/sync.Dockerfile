# The image of kustomization.yaml's two helpers: this package and the three others that `tafe sync` needs, no TensorFlow.
#   docker build -f serving/tf_serving/sync.Dockerfile -t REGISTRY/tafe-sync:VERSION .
FROM python:3.12-slim
COPY setup.cfg pyproject.toml README.md LICENSE /source/
COPY tafe_tf /source/tafe_tf
COPY export /source/export
COPY serving /source/serving
COPY native /source/native
RUN pip install --no-cache-dir --no-deps absl-py==2.5.1 numpy==2.4.6 pyarrow==25.0.1 /source && rm -r /source
USER 65534
ENTRYPOINT ["python", "-m", "tafe_tf", "sync"]
