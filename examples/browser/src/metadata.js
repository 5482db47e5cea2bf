// Reads the metadata of a .tflite file from `mir-tf export`. docs/export-formats.md lists the fields.

const FORMATS = [2, 3]; // of the metadata that this page reads
const END_RECORD = 0x06054b50;
const END_RECORD_BYTES = 22;

/**
 * Returns the content of mir_tf.json in the file.
 *
 * @param {Uint8Array} model the bytes of the .tflite file
 * @throws {Error} if this page cannot use the file; the message says what to do
 */
export function readMetadata(model) {
  const text = new TextDecoder();
  if (text.decode(model.subarray(4, 8)) !== "TFL3") throw new Error("it is not a .tflite file");
  let metadata;
  try {
    metadata = JSON.parse(text.decode(zipEntry(model, "mir_tf.json")));
  } catch {
    throw new Error("it has no mir_tf.json at its end: it is truncated, or was not written by mir-tf export");
  }
  if (!FORMATS.includes(metadata.format)) {
    const known = FORMATS.join(" and ");
    throw new Error(`it has format ${metadata.format}, and this page reads formats ${known}; export the model again`);
  }
  if (metadata.output !== "frames") {
    throw new Error("it predicts whole windows, not a timeline; use model.float32.tflite of the same export");
  }
  return metadata;
}

/** Returns the bytes of an entry of the uncompressed zip at the end of `file`. */
function zipEntry(file, wanted) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const end = file.length - END_RECORD_BYTES;
  if (view.getUint32(end, true) !== END_RECORD) throw new Error("no zip");
  let entry = end - view.getUint32(end + 12, true); // the directory precedes its end record
  const zipStart = entry - view.getUint32(end + 16, true);
  while (entry < end) {
    const nameEnd = entry + 46 + view.getUint16(entry + 28, true);
    if (new TextDecoder().decode(file.subarray(entry + 46, nameEnd)) === wanted) {
      const local = zipStart + view.getUint32(entry + 42, true);
      const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
      return file.subarray(start, start + view.getUint32(entry + 24, true));
    }
    entry = nameEnd + view.getUint16(entry + 30, true) + view.getUint16(entry + 32, true);
  }
  throw new Error(`no ${wanted}`);
}
