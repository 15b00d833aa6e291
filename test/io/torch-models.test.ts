import { describe, expect, it } from 'vitest';
import type { TensorSource } from '../../src/core/tensor-source.ts';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import { directory } from '../../src/node/files.ts';
import { goldenPath } from '../support/checkpoint.ts';

async function bytesOf(
  source: TensorSource,
): Promise<Map<string, { dtype: string; shape: readonly number[]; bytes: Uint8Array }>> {
  const all = new Map();
  for (const { name, dtype, shape, byteLength } of source.tensors.values()) {
    const bytes = new Uint8Array(byteLength);
    await source.read(name, 0, bytes);
    all.set(name, { dtype, shape, bytes });
  }
  await source.close?.();
  return all;
}

describe('models written by torch.save', () => {
  it.each([
    { name: 'Flan-T5', bin: 'torch/t5', folder: 't5/model', stem: 'model' },
    { name: 'CLIP text encoder', bin: 'torch/text_encoder', folder: 'sd1/model/text_encoder', stem: 'model' },
    { name: 'UNet', bin: 'torch/unet', folder: 'sd-variants/unet', stem: 'diffusion_pytorch_model' },
    { name: 'autoencoder', bin: 'torch/vae', folder: 'sd1/model/vae', stem: 'diffusion_pytorch_model' },
  ] as const)('$name: every tensor has the bytes of its safetensors twin', async ({ bin, folder, stem }) => {
    const saved = await bytesOf(await openCheckpoint(await directory(goldenPath(bin)), stem));
    const expected = await bytesOf(await openCheckpoint(await directory(goldenPath(folder)), stem));
    expect([...saved.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [name, tensor] of expected) {
      expect(saved.get(name)?.dtype, name).toBe(tensor.dtype);
      expect(saved.get(name)?.shape, name).toEqual(tensor.shape);
      expect(Buffer.compare(saved.get(name)?.bytes ?? new Uint8Array(), tensor.bytes), name).toBe(0);
    }
  });
});
