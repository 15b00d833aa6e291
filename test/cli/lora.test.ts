import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fingerprintWith, openLoras, parseLora } from '../../src/cli/adapters.ts';
import { openSafetensors, type WritableTensor, writeSafetensors } from '../../src/io/safetensors.ts';
import { fileSource } from '../../src/node/files.ts';
import { pentimento } from '../support/command.ts';
import { randoms } from '../support/run-kernel.ts';

const APPLES = 'models/orchard/samples/apples-bowl.png';

let root: string;
let style: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-lora-'));
  style = join(root, 'style.safetensors');
  await writeFile(style, await styleFor('models/orchard/stable-diffusion/unet/diffusion_pytorch_model.safetensors'));
});
afterAll(() => rm(root, { recursive: true }));

/** A product for every query projection of a UNet. */
async function styleFor(unet: string): Promise<Uint8Array> {
  const source = await openSafetensors(await fileSource(unet));
  const tensors: Record<string, WritableTensor> = {};
  for (const { name, shape } of source.tensors.values()) {
    if (!name.endsWith('.to_q.weight')) continue;
    const [module, [rows, columns]] = [`lora_unet_${name.slice(0, -'.weight'.length).replaceAll('.', '_')}`, shape];
    tensors[`${module}.lora_down.weight`] = { dtype: 'F32', shape: [2, columns], data: randoms(2 * columns, 1) };
    tensors[`${module}.lora_up.weight`] = { dtype: 'F32', shape: [rows, 2], data: randoms(2 * rows, 2) };
  }
  await source.close?.();
  return writeSafetensors(tensors);
}

describe('--lora', () => {
  it('takes a scale behind the last colon', async () => {
    expect(parseLora('style.safetensors')).toEqual({ path: 'style.safetensors', scale: 1 });
    expect(parseLora('style.safetensors:0.8')).toEqual({ path: 'style.safetensors', scale: 0.8 });
    expect(parseLora('C:\\loras\\style.safetensors')).toEqual({ path: 'C:\\loras\\style.safetensors', scale: 1 });
    expect(parseLora('C:\\style.safetensors:-1.5')).toEqual({ path: 'C:\\style.safetensors', scale: -1.5 });
    expect(() => parseLora('style.safetensors:')).toThrow('Give the scale as a number');
    expect(() => parseLora('style.safetensors:strong')).toThrow('Give the scale as a number');
    expect(() => parseLora('')).toThrow('Give a file.');
    const odd = join(root, 'a:1');
    await writeFile(odd, '');
    expect(parseLora(odd)).toEqual({ path: odd, scale: 1 });
  });

  it('refuses a file that is not there before anything is opened', async () => {
    const lora = [{ path: join(root, 'none'), scale: 1 }];
    await expect(openLoras({ lora }, new AbortController().signal)).rejects.toThrow('lora: no such file');
  });

  it('is read from its address, with a scale behind it', async () => {
    const server = createServer((_, response) => {
      response.writeHead(206, { 'content-range': 'bytes 0-0/1' });
      response.end('x');
    });
    await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening));
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/style.safetensors`;
    expect(parseLora(address)).toEqual({ path: address, scale: 1 });
    const lora = [parseLora(`${address}:0.5`)];
    expect(lora).toEqual([{ path: address, scale: 0.5 }]);
    const [opened] = await openLoras({ lora }, new AbortController().signal);
    expect(opened).toMatchObject({ scale: 0.5, source: { byteLength: 1, label: address } });
    const of = (path: string) => fingerprintWith('f', { lora: [{ path, scale: 1 }] });
    expect(await of(address)).not.toBe(await of(`${address}?other`));
    await new Promise(closed => server.close(closed));
  });

  it("is part of the model's fingerprint, with its scale", async () => {
    const other = join(root, 'other.safetensors');
    await writeFile(other, 'other');
    const of = (...lora: { path: string; scale: number }[]) => fingerprintWith('0123456789abcdef', { lora });
    const one = await of({ path: style, scale: 1 });
    expect(one).toMatch(/^[0-9a-f]{16}$/);
    expect(await of()).toBe('0123456789abcdef');
    expect(await of({ path: style, scale: 0 })).toBe('0123456789abcdef');
    expect(await of({ path: style, scale: 1 })).toBe(one);
    const all = [one, await of({ path: style, scale: 0.5 }), await of({ path: other, scale: 1 })];
    expect(new Set([...all, await of({ path: style, scale: 1 }, { path: other, scale: 1 })]).size).toBe(4);
  });

  it('changes what is computed, and its latents are not taken for those of the plain model', async () => {
    const invert = `invert ${APPLES} --source apples --num-inference-steps 2 --size 64x64 --seed 0 --json`.split(' ');
    const run = async (name: string, ...more: string[]) => {
      const output = join(root, name);
      const { code, stdout, stderr } = await pentimento([...invert, '-o', output, ...more]);
      expect(stderr).not.toMatch(/^error/m);
      expect(code).toBe(0);
      return { json: JSON.parse(stdout), bytes: await readFile(output) };
    };
    const [plain, styled] = [await run('plain.safetensors'), await run('styled.safetensors', '--lora', `${style}:0.5`)];
    expect(plain.json.lora).toBeUndefined();
    expect(styled.json.lora).toEqual([`${style}:0.5`]);
    expect(styled.json.settings.model).toBe(`orchard (embedded) with ${style}:0.5`);
    expect(styled.bytes.subarray(-4096).equals(plain.bytes.subarray(-4096))).toBe(false);
    const edit = `edit ${APPLES} --source a --target b --num-inference-steps 2 --size 64x64`.split(' ');
    const { code, stderr } = await pentimento([
      ...edit,
      '-o',
      join(root, 'edited.png'),
      '--latents',
      join(root, 'styled.safetensors'),
    ]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('another model made these latents')]);
    expect(stderr).toContain('expected orchard (embedded), got orchard (embedded) with ');
    expect(stderr).toContain('Name that model with --model and its adapters with --lora, or invert again.');
  });
});
