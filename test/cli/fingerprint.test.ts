import { describe, expect, it } from 'vitest';
import { fingerprintOf } from '../../src/cli/fingerprint.ts';
import { memoryFolder } from '../support/folder.ts';

const shard = (n: number) => `unet/diffusion_pytorch_model-0000${n}-of-00002.safetensors`;
const index = JSON.stringify({ weight_map: { a: shard(1).slice(5), b: shard(2).slice(5), c: shard(1).slice(5) } });
const MODEL: Record<string, string | Uint8Array> = {
  'scheduler/scheduler_config.json': '{"steps_offset": 1}',
  'text_encoder/config.json': '{"layers": 1}',
  'text_encoder/model.safetensors': 'text',
  'unet/config.json': '{"layers": 2}',
  'unet/diffusion_pytorch_model.safetensors.index.json': index,
  [shard(1)]: 'first shard',
  [shard(2)]: 'second shard',
  'vae/config.json': '{"layers": 3}',
  'vae/diffusion_pytorch_model.bin': 'vae',
  'vae/diffusion_pytorch_model.fp16.safetensors': 'vae in halves',
};
const of = (changes: Record<string, string | Uint8Array> = {}, variant?: string) =>
  fingerprintOf(memoryFolder({ ...MODEL, ...changes }), variant);

describe('the fingerprint of a model', () => {
  it('is short, and the same for the same files', async () => {
    expect(await of()).toMatch(/^[0-9a-f]{16}$/);
    expect(await of({ 'README.md': 'words' })).toBe(await of());
  });

  it.each(Object.keys(MODEL).filter(name => !/index|fp16/.test(name)))('changes with %s', async name => {
    expect(await of({ [name]: `${MODEL[name]} ` })).not.toBe(await of());
  });

  it('changes with an inverse scheduler of its own', async () => {
    expect(await of({ 'inverse_scheduler/scheduler_config.json': '{}' })).not.toBe(await of());
  });

  it('goes by the variant where a network has it', async () => {
    expect(await of({}, 'fp16')).not.toBe(await of());
    const other = { 'vae/diffusion_pytorch_model.fp16.safetensors': 'others' };
    expect(await of(other, 'fp16')).not.toBe(await of({}, 'fp16'));
    expect(await of(other)).toBe(await of());
  });

  it('goes by the only variant where there is nothing else', async () => {
    const { 'vae/diffusion_pytorch_model.bin': _, ...halves } = MODEL;
    const print = (vae: string) =>
      fingerprintOf(memoryFolder({ ...halves, 'vae/diffusion_pytorch_model.fp16.safetensors': vae }), undefined);
    expect(await print('one')).not.toBe(await print('two'));
  });

  it('reads of a large file its end and its size', async () => {
    const large = new Uint8Array(2 ** 19);
    const [first, last] = [large.slice(), large.slice()];
    [first[0], last[last.length - 1]] = [1, 1];
    const file = (bytes: Uint8Array) => of({ [shard(1)]: bytes });
    expect(await file(first)).toBe(await file(large));
    expect(await file(last)).not.toBe(await file(large));
    expect(await file(large.subarray(1))).not.toBe(await file(large));
  });
});
