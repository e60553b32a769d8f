"""Writes a GGUF file again with its matrices in Q8_0: usage: q8_0.py FROM.gguf TO.gguf"""

import sys

from gguf import GGUFReader, GGUFValueType, GGUFWriter, GGMLQuantizationType, quants

source, target = sys.argv[1:]
reader = GGUFReader(source)
architecture = reader.fields["general.architecture"].contents()
writer = GGUFWriter(target, architecture)
for field in reader.fields.values():
    if field.name == "general.architecture" or field.name.startswith("GGUF."):
        continue
    if field.name == "general.file_type":
        writer.add_file_type(7)  # Mostly Q8_0.
        continue
    inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
    writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
for tensor in reader.tensors:
    values = quants.dequantize(tensor.data, tensor.tensor_type)
    if values.ndim < 2 or values.shape[-1] % 32:
        writer.add_tensor(tensor.name, values)
    else:
        q8_0 = GGMLQuantizationType.Q8_0
        writer.add_tensor(tensor.name, quants.quantize(values, q8_0), raw_dtype=q8_0)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
