//! What to say about weights in other formats than safetensors.

use std::path::Path;

/// Advice about a file that is of another format, by its first bytes and its name; `None` if it
/// does not look like one. Names alone decide only where `by_name` is set: the caller tries to read
/// the file first, since anything can be called `.bin`.
pub fn advice(path: &Path, start: &[u8], by_name: bool) -> Option<String> {
    let extension = path.extension().and_then(|ext| ext.to_str()).unwrap_or("").to_lowercase();
    // A safetensors header starts at byte 8 with a brace, whatever its length's bytes are.
    let pickle = start.len() > 2
        && start[0] == 0x80
        && (2..=5).contains(&start[1])
        && start.get(8) != Some(&b'{');
    if start.starts_with(b"PK\x03\x04") && extension == "keras" {
        return Some(keras());
    }
    if start.starts_with(b"PK\x03\x04") || pickle {
        return Some(torch());
    }
    if start.starts_with(b"\x89HDF\r\n\x1a\n") {
        return Some(keras());
    }
    if start.get(4..8) == Some(b"TFL3") {
        return Some(tflite());
    }
    if start.starts_with(b"GGUF") {
        return Some(
            "this is a GGUF file; use the model's safetensors file, which it was made from".into(),
        );
    }
    if !by_name {
        return None;
    }
    match extension.as_str() {
        "pth" | "pt" | "bin" | "ckpt" | "tar" => Some(torch()),
        "h5" | "hdf5" | "keras" => Some(keras()),
        "onnx" => Some(onnx()),
        "tflite" => Some(tflite()),
        "pb" => Some(
            "this is a TensorFlow graph; weights are read from safetensors, best made from the same \
             model in timm (its `tf_...` models hold TensorFlow's weights):\n  \
             import timm; from safetensors.torch import save_file\n  \
             model = timm.create_model(\"tf_MODEL\", pretrained=True)\n  \
             save_file(model.state_dict(), \"model.safetensors\")"
                .into(),
        ),
        "json" => Some(json()),
        _ => None,
    }
}

/// Whether bytes begin as a JSON object does.
pub fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

fn torch() -> String {
    "this is a PyTorch checkpoint; convert it once to safetensors:\n  \
     import torch; from safetensors.torch import save_file\n  \
     state = torch.load(\"FILE\", map_location=\"cpu\", weights_only=True)\n  \
     state = state.get(\"state_dict\", state.get(\"model\", state))\n  \
     save_file({k: v.contiguous() for k, v in state.items()}, \"model.safetensors\")"
        .into()
}

fn keras() -> String {
    "this is a Keras file; write its arrays to safetensors, each under the name that a dialect of the \
     network has for it (`names`, a table that you make) and with filters as [out, in, height, width]:\n  \
     import keras, numpy as np; from safetensors.numpy import save_file\n  \
     arrays = {w.path: w.numpy() for w in keras.models.load_model(\"FILE\").weights}\n  \
     save_file({names[k]: np.ascontiguousarray(a.transpose(3, 2, 0, 1) if a.ndim == 4 else a.T) for k, a \
     in arrays.items()}, \"model.safetensors\")"
        .into()
}

fn onnx() -> String {
    "this is an ONNX graph; write its initializers to safetensors, provided that the exporter kept \
     the tensors' names and did not fold batch normalisation:\n  \
     import onnx; from onnx.numpy_helper import to_array; from safetensors.numpy import save_file\n  \
     graph = onnx.load(\"FILE\").graph\n  \
     save_file({t.name: to_array(t) for t in graph.initializer}, \"model.safetensors\")"
        .into()
}

fn tflite() -> String {
    "this is a TensorFlow Lite file, whose batch normalisation is folded already; use the \
     checkpoint that it was made from, for instance timm's:\n  \
     import timm; from safetensors.torch import save_file\n  \
     model = timm.create_model(\"tf_MODEL\", pretrained=True)\n  \
     save_file(model.state_dict(), \"model.safetensors\")"
        .into()
}

fn json() -> String {
    "this is no weights file; give the path of a safetensors file, or of the index that joins several \
     (`model.safetensors.index.json`)"
        .into()
}
