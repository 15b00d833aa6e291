/** Tokens and the tables that they are looked up in: which class names them, and ids that a table lacks. */
import { expect, it } from 'vitest';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { openStableDiffusionFolder } from '../../src/pipeline/diffusion/stable-diffusion-folder.ts';
import type { ProgressEvent } from '../../src/pipeline/runtime/progress.ts';
import { T5ForConditionalGeneration } from '../../src/pipeline/text/t5.ts';
import { overlay, repositoryFolder } from '../support/captioner.ts';
import { loadGolden } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { picture } from '../support/pipeline.ts';

const model = repositoryFolder('test/golden/sd1/model');

/** The folder with fields of one JSON file changed. */
function changed(name: string, fields: object): FolderSource {
  const text = async (path: string) => {
    const own = await model.text(path);
    return path === name ? JSON.stringify({ ...JSON.parse(own), ...fields }) : own;
  };
  return { ...model, text };
}

/** Its tokenizer learned a word, its text encoder did not. */
const grown = changed('tokenizer/tokenizer_config.json', {
  added_tokens_decoder: {
    0: { content: '!', special: true },
    659: { content: '<|startoftext|>', special: true },
    660: { content: '<|endoftext|>', special: true },
    661: { content: '<cat-toy>' },
  },
});

it('a token that the text encoder has no row for is refused before anything is loaded', async () => {
  const events: ProgressEvent[] = [];
  const onProgress = (event: ProgressEvent) => events.push(event);
  const pipe = await DiffEditPipeline.fromPretrained(grown, {
    gpu: await testGpu(),
    modelCpuOffload: true,
    onProgress,
  });
  await expect(pipe.encodePrompt('a bowl with <cat-toy> fruit')).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: encodePrompt: the token embedding of the text encoder has no row for a token: expected ids from 0 to 660, got "<cat-toy>", id 661. Use tokenizer and weights of one model, or load the token's embedding with loadTextualInversion.]`,
  );
  const args = { sourcePrompt: 'a bowl', targetPrompt: 'a <cat-toy>', image: picture(loadGolden('sd1')), seed: 1 };
  await expect(pipe.run(args)).rejects.toThrow('"<cat-toy>", id 661');
  await expect(pipe.run({ ...args, targetPrompt: 'a pear', negativePrompt: '<cat-toy>' })).rejects.toThrow('id 661');
  await expect(pipe.embedPrompts(['a bowl', '<cat-toy>'])).rejects.toThrow('id 661');
  expect([pipe.bytes, pipe.peakBytes, events.length]).toEqual([0, 0, 0]);
  const word = { data: new Float32Array(48), shape: [48] };
  await expect(pipe.loadTextualInversion(word, { token: 'x1' })).rejects.toThrow(
    'a row before the new ones has no values',
  );
  await pipe.encodePrompt('a bowl with fruit');
  pipe.dispose();
});

it('so is a text that T5 cannot look up', async () => {
  const files = overlay(
    repositoryFolder('test/golden/t5/model'),
    repositoryFolder('test/golden/tokenizers/orchard-t5'),
  );
  const t5 = await T5ForConditionalGeneration.fromPretrained(files, { gpu: await testGpu(), modelCpuOffload: true });
  await expect(t5.encode(['a', '<extra_id_0>'])).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: T5ForConditionalGeneration: T5's table of embeddings has no row for a token: expected ids from 0 to 159, got "<extra_id_0>", id 195. Use tokenizer and weights of one model.]`,
  );
  expect(t5.peakBytes).toBe(0);
  t5.dispose();
});

it.each([
  ['CLIPTokenizer', 'slow'],
  ['CLIPTokenizerFast', 'fast'],
])('the index names the class of the tokenizer: %s', async (name, mode) => {
  const folder = changed('model_index.json', { tokenizer: ['transformers', name] });
  const { tokenizer, networks } = await openStableDiffusionFolder(folder, {
    op: 'open',
    hasScheduler: false,
    openSchedulers: async () => ({}),
    warn: () => {},
  });
  expect(tokenizer.mode).toBe(mode);
  for (const { source } of Object.values(networks)) await source.close?.();
});
