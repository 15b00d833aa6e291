/** One file of weights, whatever its name: what it is stands in its first bytes. */
import type { ByteSource, TensorSource } from '../core/tensor-source.ts';
import { openSafetensors } from './safetensors.ts';
import { isTorchLegacy, LEGACY_MAGIC_BYTES, openTorchLegacy } from './torch-legacy.ts';
import type { TorchSource } from './torch-tensors.ts';
import { openTorchZip } from './torch-zip.ts';

/**
 * Opens a safetensors file or a checkpoint of torch.save (.ckpt, .pt, .bin), old or new. Nothing in it is executed.
 * @param bytes the file; closed by the result's `close`, and here when the file is refused
 * @throws WeightsError for files that are none of these, naming what lies there
 */
export async function openWeightFile(bytes: ByteSource): Promise<TensorSource> {
  const head = await headOf(bytes);
  return isZip(head) || isTorchLegacy(head) ? openTorch(bytes, head) : openSafetensors(bytes);
}

/**
 * Opens a checkpoint of torch.save in either format.
 * @param bytes the file; closed by the result's `close`, and here when the file is refused
 * @throws WeightsError as `openTorchZip` does
 */
export async function openTorchFile(bytes: ByteSource): Promise<TorchSource> {
  return openTorch(bytes, await headOf(bytes));
}

function openTorch(bytes: ByteSource, head: Uint8Array): Promise<TorchSource> {
  return isTorchLegacy(head) ? openTorchLegacy(bytes) : openTorchZip(bytes);
}

async function headOf(bytes: ByteSource): Promise<Uint8Array> {
  const head = new Uint8Array(Math.min(LEGACY_MAGIC_BYTES, bytes.byteLength));
  try {
    await bytes.read(0, head);
    return head;
  } catch (error) {
    await bytes.close?.();
    throw error;
  }
}

function isZip([a, b, c, d]: Uint8Array): boolean {
  return a === 0x50 && b === 0x4b && c === 3 && d === 4;
}
