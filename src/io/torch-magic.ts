/** How the files of torch.save begin. */
import type { ByteSource } from '../core/tensor-source.ts';

/** The pickle of 0x1950a86a20f9469cfc6c behind its protocol, with which every file before torch 1.6 begins. */
const LEGACY = [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];

/** Whether a file begins as torch wrote checkpoints before 1.6. */
export function isTorchLegacy(head: Uint8Array): boolean {
  return head[0] === 0x80 && LEGACY.every((byte, i) => head[2 + i] === byte);
}

/** Whether a file begins as a zip file does whose first entry stands at its beginning. */
export function isZip([a, b, c, d]: Uint8Array): boolean {
  return a === 0x50 && b === 0x4b && c === 3 && d === 4;
}

/** The first bytes, by which formats are told apart; closes the file where they cannot be read. */
export async function headOf(bytes: ByteSource): Promise<Uint8Array> {
  const head = new Uint8Array(Math.min(2 + LEGACY.length, bytes.byteLength));
  try {
    await bytes.read(0, head);
    return head;
  } catch (error) {
    await bytes.close?.();
    throw error;
  }
}
