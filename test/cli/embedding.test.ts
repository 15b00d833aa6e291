import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseEmbedding } from '../../src/cli/adapters.ts';
import { pentimento } from '../support/command.ts';

const FILES = 'test/golden/textual-inversion';
const INVERT = [
  ...['invert', 'models/orchard/samples/apples-bowl.png', '--model', 'test/golden/sd1/model', '--size', '40x24'],
  ...['--num-inference-steps', '2', '--seed', '1'],
];

const EDIT = ['edit', ...INVERT.slice(1), '--target', 'a bowl', '--num-maps-per-mask', '1'];

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-embedding-'));
});
afterAll(() => rm(root, { recursive: true }));

describe('--embedding', () => {
  it('takes a word behind the last colon', async () => {
    const plain = { path: 'cat.bin', token: undefined };
    expect(parseEmbedding('cat.bin')).toEqual(plain);
    expect(parseEmbedding('cat.bin:<cat-toy>')).toEqual({ path: 'cat.bin', token: '<cat-toy>' });
    expect(parseEmbedding('C:\\cat.bin')).toEqual({ path: 'C:\\cat.bin', token: undefined });
    expect(parseEmbedding('C:\\cat.bin:sks')).toEqual({ path: 'C:\\cat.bin', token: 'sks' });
    const address = 'https://127.0.0.1:8080/a/cat.bin';
    expect(parseEmbedding(address)).toEqual({ path: address, token: undefined });
    expect(parseEmbedding(`${address}:sks`)).toEqual({ path: address, token: 'sks' });
    expect(() => parseEmbedding('cat.bin:')).toThrow('Give the token as a word');
    expect(() => parseEmbedding('')).toThrow('Give a file.');
    const odd = join(root, 'a:b');
    await writeFile(odd, '');
    expect(parseEmbedding(odd)).toEqual({ path: odd, token: undefined });
    expect(parseEmbedding(`${odd}:<a:b/c>`)).toEqual({ path: odd, token: '<a:b/c>' });
  });

  it('says what to write, and changes what the prompt means', async () => {
    const output = join(root, 'latents.safetensors');
    const run = (...more: string[]) => pentimento([...INVERT, '-o', output, ...more]);
    const words = ['--embedding', `${FILES}/dog.safetensors:sks`, '--embedding', `${FILES}/bad-hands.safetensors`];
    const { code, stderr } = await run('--prompt', 'a bowl of sks, bad-hands', ...words);
    expect(stderr).toContain(`Write sks in a prompt for ${FILES}/dog.safetensors.`);
    expect(stderr).toContain(`Write bad-hands in a prompt for ${FILES}/bad-hands.safetensors.`);
    expect(code).toBe(0);
  });

  it('is told where latents were inverted with another meaning of the prompt', async () => {
    const latents = join(root, 'latents.safetensors');
    const prompt = ['--source', 'a bowl of <cat-toy>'];
    const embedding = ['--embedding', `${FILES}/cat-toy.bin`];
    expect((await pentimento([...INVERT, ...prompt, ...embedding, '-o', latents])).code).toBe(0);
    const edit = async (...more: string[]) => {
      const output = ['-o', join(root, 'edited.png')];
      const run = await pentimento([...EDIT, ...prompt, '--latents', latents, ...output, ...more]);
      return [run.code, run.stderr.split('\n').filter(line => line.startsWith('The latents'))];
    };
    expect(await edit(...embedding)).toEqual([0, []]);
    const other = 'The latents were inverted with the embeddings "<cat-toy> (';
    expect(await edit()).toEqual([0, [expect.stringContaining(`${other}`)]]);
    const half = ['--embedding', `${FILES}/half.bin:<cat-toy>`];
    expect(await edit(...half)).toEqual([0, [expect.stringContaining(other)]]);
  });

  it('is read from its address', async () => {
    const bytes = await readFile(`${FILES}/cat-toy.bin`);
    const server = createServer((request, response) => {
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
      const end = Math.min(Number(last), bytes.length - 1);
      response.writeHead(206, { 'content-range': `bytes ${first}-${end}/${bytes.length}` });
      response.end(bytes.subarray(Number(first), end + 1));
    });
    await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening));
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/cat-toy.bin`;
    const output = ['-o', join(root, 'address.safetensors')];
    const { code, stderr } = await pentimento([...INVERT, '--prompt', '<cat-toy>', ...output, '--embedding', address]);
    expect(stderr).toContain(`Write <cat-toy> in a prompt for ${address}.`);
    expect(code).toBe(0);
    await new Promise(closed => server.close(closed));
  });

  it('refuses what does not fit, in one line and with nothing written', async () => {
    const before = await readdir(root);
    const refused = async (file: string) => {
      const { code, stderr } = await pentimento([
        ...INVERT,
        '--prompt',
        'a',
        '-o',
        join(root, 'x.safetensors'),
        '--embedding',
        file,
      ]);
      expect(code).toBe(2);
      return expect(stderr.trim().split('\n').at(-1)?.replaceAll(root, ''));
    };
    (await refused(join(root, 'none.pt:sks'))).toMatchInlineSnapshot(
      `"error: embedding: no such file (/none.pt). Name the file or its address, with :token behind it or without, or the folder that it was saved in."`,
    );
    (await refused(`${FILES}/wide.safetensors`)).toMatchInlineSnapshot(
      `"error: loadTextualInversion: the embedding does not fit the text encoder: expected [n, 48], got [1, 1024] (test/golden/textual-inversion/wide.safetensors). Stable Diffusion 1.x takes vectors of 768 numbers, 2.x of 1024: use an embedding trained for this model."`,
    );
    (await refused(`${FILES}/cat-toy.bin:a</w>`)).toMatchInlineSnapshot(
      `"error: loadTextualInversion: the vocabulary has that token already: expected a new one, got "a</w>" (token). Choose another token for the embedding."`,
    );
    (await refused(root)).toMatchInlineSnapshot(
      `"error: loadTextualInversion: no embedding here: expected learned_embeds.safetensors or learned_embeds.bin (). Name the file itself."`,
    );
    expect(await readdir(root)).toEqual(before);
  });
});
