import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError } from '../../src/core/errors.ts';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { ByteSource } from '../../src/core/tensor-source.ts';
import { writeSafetensors } from '../../src/io/safetensors.ts';
import { memorySource } from '../../src/io/sources.ts';
import type { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { goldenPath } from '../support/checkpoint.ts';
import { maxError } from '../support/close.ts';
import { memoryFolder } from '../support/folder.ts';
import { loadGolden } from '../support/golden.ts';
import { openPipeline, picture, seeded } from '../support/pipeline.ts';
import { renewed } from '../support/renewed.ts';

/** Files of every layout, and what diffusers made of them: scripts/golden/textual_inversion.py. */
const golden = loadGolden('textual-inversion');
const MODEL = 'test/golden/sd1/model';
const WIDTH = 48;
const bytesOf = (name: string) => new Uint8Array(readFileSync(goldenPath(`textual-inversion/${name}`)));
const file = (name: string): ByteSource => memorySource(bytesOf(name), `embeddings/${name}`);
const vectors = (...shape: number[]): NdArray => ({
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.1),
  shape,
});
const word = (name: string, shape: number[]) =>
  writeSafetensors({ [name]: { dtype: 'F32', shape, data: vectors(...shape).data } });

let pipe: DiffEditPipeline;
renewed(async () => {
  pipe = await openPipeline(MODEL);
});
afterAll(() => pipe.dispose());

async function expectRecorded(pipeline: DiffEditPipeline, name: string): Promise<void> {
  const { promptEmbeds } = await pipeline.encodePrompt(golden.json[name].prompts);
  const { data, shape } = golden.floats(name);
  expect(promptEmbeds.shape).toEqual(shape);
  expect(maxError(promptEmbeds.data, data), name).toBeLessThanOrEqual(1e-5);
}

describe('embeddings', () => {
  it('mean what diffusers makes of them, are inverted with, and leave no trace', async () => {
    await expectRecorded(pipe, 'base');
    const { promptEmbeds: before } = await pipe.encodePrompt('<cat-toy> sks charturner');
    expect(await pipe.loadTextualInversion(file('cat-toy.bin'))).toEqual(['<cat-toy>']);
    await expectRecorded(pipe, 'cat');
    const both = [file('dog.safetensors'), file('charturner.pt')];
    expect(await pipe.loadTextualInversion(both, { token: ['sks', 'charturner'] })).toEqual(['sks', 'charturner']);
    await expectRecorded(pipe, 'three');
    const { latents } = await pipe.invert({
      ...{ prompt: 'a bowl of sks', image: picture(loadGolden('sd1')), generator: seeded(5) },
      ...{ numInferenceSteps: 4, inpaintStrength: 0.8, guidanceScale: 2 },
    });
    const { data, shape } = golden.floats('inverted');
    expect(latents.shape).toEqual(shape);
    expect(maxError(latents.data, data)).toBeLessThanOrEqual(1e-5);
    pipe.unloadTextualInversion('<cat-toy>');
    await expectRecorded(pipe, 'without cat');
    pipe.unloadTextualInversion();
    await expectRecorded(pipe, 'none');
    expect((await pipe.encodePrompt('<cat-toy> sks charturner')).promptEmbeds).toEqual(before);
    pipe.unloadTextualInversion();
  });

  it('keep their vectors when one between them goes', async () => {
    await pipe.loadTextualInversion(file('cat-toy.bin'));
    await pipe.loadTextualInversion([file('dog.safetensors'), file('charturner.pt')], { token: ['sks', 'charturner'] });
    pipe.unloadTextualInversion('sks');
    const { prompts } = golden.json.three;
    const { promptEmbeds } = await pipe.encodePrompt(prompts[1]);
    const size = 77 * WIDTH;
    expect(maxError(promptEmbeds.data, golden.floats('three').data.subarray(size, 2 * size))).toBeLessThanOrEqual(1e-5);
    pipe.unloadTextualInversion();
  });

  it('come as halves, and by the name of their file where they name no word', async () => {
    const other = await openPipeline(MODEL, {
      embeddings: [{ source: file('half.bin') }, { source: file('bad-hands.safetensors') }],
    });
    await expectRecorded(other, 'half');
    await expectRecorded(other, 'bad-hands');
    other.dispose();
  });

  it('act beside a LoRA of the text encoder, whichever came first', async () => {
    const lora = () => new Uint8Array(readFileSync(goldenPath('lora/peft.safetensors')));
    await pipe.loadTextualInversion(file('dog.safetensors'));
    await pipe.loadLoraWeights(lora());
    await expectRecorded(pipe, 'with lora');
    pipe.unloadTextualInversion();
    await pipe.loadTextualInversion(file('dog.safetensors'));
    await expectRecorded(pipe, 'with lora');
    pipe.unloadTextualInversion();
    pipe.unloadLoraWeights();
    await expectRecorded(pipe, 'base');
  });

  it('come from a folder, as Blobs, as vectors, and from the first files of all', async () => {
    const tokens = ['a1', 'b1', 'c1', 'd1'];
    const folder = memoryFolder({ 'learned_embeds.bin': bytesOf('cat-toy.bin') });
    const sources = [folder, new Blob([bytesOf('dog.safetensors')]), vectors(2, WIDTH), file('first-kind.pt')];
    expect(await pipe.loadTextualInversion(sources, { token: tokens })).toEqual(tokens);
    expect(await pipe.loadTextualInversion(vectors(2, WIDTH), { token: ['e1', 'f1'] })).toEqual(['e1', 'f1']);
    const { promptEmbeds } = await pipe.encodePrompt(['c1', 'e1 f1', 'b1']);
    const row = (i: number) => promptEmbeds.data.subarray(i * 77 * WIDTH, (i + 1) * 77 * WIDTH);
    expect(row(0)).toEqual(row(1));
    expect(row(0)).not.toEqual(row(2));
    pipe.unloadTextualInversion(tokens);
    pipe.unloadTextualInversion(['e1', 'f1']);
  });

  it('cost no device memory when they are gone, and what their rows weigh while they are there', async () => {
    const one = await openPipeline(MODEL);
    const { bytes } = one;
    await one.loadTextualInversion(vectors(3, WIDTH), { token: 'x1' });
    await one.encodePrompt('x1');
    one.unloadTextualInversion();
    await one.encodePrompt('x1');
    one.unload();
    await one.encodePrompt('x1');
    expect(one.bytes).toBeLessThanOrEqual(bytes);
    one.dispose();
  });
});

describe('refused, with nothing changed', () => {
  const refused = async (
    source: Parameters<DiffEditPipeline['loadTextualInversion']>[0],
    token?: string | readonly string[],
  ) => {
    const error = await pipe.loadTextualInversion(source, { token }).then(
      tokens => `taken: ${tokens.join()}`,
      (reason: unknown) => reason,
    );
    await expectRecorded(pipe, 'base');
    return expect(error);
  };

  it('a token of the vocabulary, a loaded one, and one whose second vector would be', async () => {
    (await refused(file('cat-toy.bin'), 'a</w>')).toMatchInlineSnapshot(
      `[InputError: loadTextualInversion: the vocabulary has that token already: expected a new one, got "a</w>" (token). Choose another token for the embedding.]`,
    );
    await pipe.loadTextualInversion(file('half.bin'));
    (await refused(file('half.bin'))).toMatchInlineSnapshot(
      `[InputError: loadTextualInversion: the vocabulary has that token already: expected a new one, got "<half>" (token). Unload it first: unloadTextualInversion("<half>").]`,
    );
    pipe.unloadTextualInversion();
    await pipe.loadTextualInversion(vectors(WIDTH), { token: 'odd_1' });
    (await refused(file('cat-toy.bin'), 'odd')).toMatchInlineSnapshot(
      `[InputError: loadTextualInversion: the vocabulary has that token already: expected a new one, got "odd_1" (token). Choose another token for the embedding.]`,
    );
    pipe.unloadTextualInversion();
  });

  it('a token that is given twice, too few tokens, and none', async () => {
    const two = () => [file('cat-toy.bin'), file('dog.safetensors')];
    (await refused(two(), ['x1', 'x1'])).toMatchInlineSnapshot(
      `[InputError: loadTextualInversion: a token is given twice: expected tokens that differ, got "x1" (token). Give each its own.]`,
    );
    (await refused([file('half.bin'), vectors(WIDTH)], ['x1', 'x1_1'])).toMatchInlineSnapshot(
      `[InputError: loadTextualInversion: a token is given twice: expected tokens that differ, got "x1_1" (token). Give each its own.]`,
    );
    (await refused(two(), 'x1')).toMatchInlineSnapshot(
      `[InputError: loadTextualInversion: not one token for each embedding: expected 2 tokens, got 1 (token)]`,
    );
    (await refused(vectors(WIDTH))).toMatchInlineSnapshot(
      `[InputError: loadTextualInversion: the embedding names no token (the array). Pass { token: '<word>' }.]`,
    );
    (await refused(vectors(WIDTH), ' ')).toMatchInlineSnapshot(
      `[InputError: loadTextualInversion: an embedding without a token: expected a word, got "\\" \\"" (token). Name one for the array.]`,
    );
    (await refused([])).toMatchInlineSnapshot(
      `[InputError: loadTextualInversion: no embedding: expected one or several, got an empty list (source)]`,
    );
  });

  it('vectors of another width, of none, and of no numbers', async () => {
    (await refused(file('wide.safetensors'))).toMatchInlineSnapshot(
      `[ShapeError: loadTextualInversion: the embedding does not fit the text encoder: expected [n, 48], got [1, 1024] (embeddings/wide.safetensors). Stable Diffusion 1.x takes vectors of 768 numbers, 2.x of 1024: use an embedding trained for this model.]`,
    );
    (await refused(vectors(0, WIDTH), 'x1')).toMatchInlineSnapshot(
      `[ShapeError: loadTextualInversion: the embedding does not fit the text encoder: expected [n, 48], got [0, 48] (the array). Stable Diffusion 1.x takes vectors of 768 numbers, 2.x of 1024: use an embedding trained for this model.]`,
    );
    (await refused(vectors(1, 1, WIDTH), 'x1')).toMatchInlineSnapshot(
      `[ShapeError: loadTextualInversion: the embedding does not fit the text encoder: expected [n, 48], got [1, 1, 48] (the array). Stable Diffusion 1.x takes vectors of 768 numbers, 2.x of 1024: use an embedding trained for this model.]`,
    );
    (await refused({ data: new Float32Array(WIDTH).fill(Number.NaN), shape: [WIDTH] }, 'x1')).toMatchInlineSnapshot(
      `[InputError: loadTextualInversion: the embedding is damaged: expected finite numbers, got NaN (the array). Get a sound file: this one would make every picture black.]`,
    );
  });

  it('files of two words, for Stable Diffusion XL, without an embedding, and what is no file', async () => {
    (await refused(file('two-words.safetensors'))).toMatchInlineSnapshot(
      `[WeightsError: loadTextualInversion: not an embedding: expected one tensor, or string_to_param, got [<one>, <two>] (embeddings/two-words.safetensors). Name a file of textual inversion: diffusers' learned_embeds, or one of the AUTOMATIC1111 web UI.]`,
    );
    (await refused(file('xl.safetensors'))).toMatchInlineSnapshot(
      `[WeightsError: loadTextualInversion: an embedding for Stable Diffusion XL: expected the vectors of one text encoder, got [clip_g, clip_l] (embeddings/xl.safetensors). Use an embedding that was trained for Stable Diffusion 1.x or 2.x.]`,
    );
    (await refused(memoryFolder({}, 'folder'))).toMatchInlineSnapshot(
      `[WeightsError: loadTextualInversion: no embedding here: expected learned_embeds.safetensors or learned_embeds.bin (folder). Name the file itself.]`,
    );
    (await refused(memorySource(new TextEncoder().encode('<html>no such file</html>'), 'x.pt'))).toMatchInlineSnapshot(
      `[WeightsError: safetensors: an HTML page in place of the file (x.pt). Download the file itself: the address was that of a page, or the server wanted a login or a token.]`,
    );
    (await refused('cat-toy.bin' as never)).toMatchInlineSnapshot(
      `[InputError: loadTextualInversion: not a file: expected a ByteSource, a Blob, an ArrayBuffer or a Uint8Array, got string. Pass await fileSource(path) of 'pentimento/node', await urlSource(address), or the file's bytes.]`,
    );
    const gone = word('<gone>', [1, WIDTH]).subarray(0, 90);
    (await refused(memorySource(gone, 'gone.safetensors'))).toMatchInlineSnapshot(
      `[WeightsError: safetensors: the file is cut short: expected 192 bytes of tensors, got 18 (gone.safetensors). Download or save the file again.]`,
    );
  });

  it('names that are not loaded', async () => {
    expect(() => pipe.unloadTextualInversion('x1')).toThrowErrorMatchingInlineSnapshot(
      `[InputError: unloadTextualInversion: no such embedding is loaded: expected none, got "x1" (tokens)]`,
    );
    expect(() => pipe.unloadTextualInversion(5 as never)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: unloadTextualInversion: not words: expected a token, or an array of tokens, got 5 (tokens)]`,
    );
    expect(() => pipe.unloadTextualInversion(null as never)).toThrow(InputError);
    for (const token of [3, null, ['<a>', 3]] as never[]) {
      await expect(pipe.loadTextualInversion(file('cat-toy.bin'), { token })).rejects.toThrow('not a token');
    }
    await pipe.loadTextualInversion(file('cat-toy.bin'));
    expect(() => pipe.unloadTextualInversion(['<cat-toy>', 'x1'])).toThrowErrorMatchingInlineSnapshot(
      `[InputError: unloadTextualInversion: no such embedding is loaded: expected "<cat-toy>", got "x1" (tokens)]`,
    );
    await expectRecorded(pipe, 'cat');
    pipe.unloadTextualInversion();
  });

  it('a second call while another runs', async () => {
    const running = pipe.encodePrompt('a');
    await expect(pipe.loadTextualInversion(file('cat-toy.bin'))).rejects.toThrow('the pipeline is busy');
    expect(() => pipe.unloadTextualInversion()).toThrow('the pipeline is busy');
    await running;
  });
});
