/** Checkpoints of torch.save in either of its formats. */
import type { ByteSource } from '../core/tensor-source.ts';
import { openTorchLegacy } from './torch-legacy.ts';
import { headOf, isTorchLegacy } from './torch-magic.ts';
import type { TorchSource } from './torch-tensors.ts';
import { openTorchZip } from './torch-zip.ts';

/**
 * Opens a checkpoint of torch.save (.ckpt, .pt, .bin), old or new.
 * @param bytes the file; closed by the result's `close`, and here when the file is refused
 * @throws WeightsError as `openTorchZip` does
 */
export async function openTorchFile(bytes: ByteSource): Promise<TorchSource> {
  const head = await headOf(bytes);
  return isTorchLegacy(head) ? openTorchLegacy(bytes) : openTorchZip(bytes);
}
