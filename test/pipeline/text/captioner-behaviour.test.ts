import { expect, test } from 'vitest';
import type { ProgressEvent } from '../../../src/pipeline/runtime/progress.ts';
import { BlipForConditionalGeneration } from '../../../src/pipeline/text/blip.ts';
import { openCaptioner, overlay, repositoryFolder } from '../../support/captioner.ts';
import { memoryFolder } from '../../support/folder.ts';
import { loadGolden } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';
import { picture } from '../../support/pipeline.ts';

const MODEL = 'test/golden/blip/model';
const golden = loadGolden('blip');
const image = picture(golden);
const pixels = golden.floats('pixel_values');

test('each id is told as it is chosen', async () => {
  const blip = await openCaptioner(MODEL);
  const tokens: number[] = [];
  const { ids } = await blip.caption(image, undefined, { maxNewTokens: 5, onToken: e => tokens.push(e.token) });
  expect(tokens).toEqual(ids.slice(1));
  blip.dispose();
});

test('settings of generation reach the decoder: processors, scores, stop strings', async () => {
  const blip = await openCaptioner('models/orchard/blip');
  const full = await blip.caption(image);
  const without = await blip.generate(image, { suppressTokens: [full.ids[3] as number] });
  expect(without.sequences[0]).not.toContain(full.ids[3]);
  const { logits } = await blip.generate(image, { maxNewTokens: 2, outputLogits: true });
  expect(logits?.map(row => row.length)).toEqual([223, 223]);
  expect(logits?.[0]?.indexOf(Math.max(...(logits[0] ?? [])))).toBe(full.ids[1]);
  const word = full.text.split(' ')[3] as string;
  const stopped = await blip.caption(image, undefined, { stopStrings: word });
  expect(stopped.text.endsWith(word)).toBe(true);
  expect(stopped.ids.length).toBeLessThan(full.ids.length);
  blip.dispose();
});

test('texts are tidied up or not, as asked', async () => {
  const blip = await openCaptioner('models/orchard/blip');
  const suffix = blip.tokenizer.encode("fruit, isn't it.").ids;
  const write = (cleanUp?: boolean) =>
    blip.generate(
      { pixels: { data: new Float32Array(3 * 128 * 128), shape: [1, 3, 128, 128] }, ids: [suffix] },
      { maxNewTokens: 1, cleanUp },
    );
  const [tidy, plain] = [await write(true), await write(false)];
  expect(tidy.sequences).toEqual(plain.sequences);
  expect(tidy.texts[0]).toContain("isn't");
  expect(plain.texts[0]).not.toContain("isn't");
  expect((await write()).texts).toEqual(tidy.texts);
  blip.dispose();
});

test('several pictures of any sizes are captioned in one call, each as alone', async () => {
  const blip = await openCaptioner('models/orchard/blip');
  const other = { width: 9, height: 30, data: Uint8Array.from({ length: 810 }, (_, i) => (i * 37) % 256) };
  const alone = [await blip.caption(image, 'a photograph of'), await blip.caption(other, 'a photograph of')];
  const { texts, sequences } = await blip.generate([image, other], { prefix: 'a photograph of' });
  expect(texts).toEqual(alone.map(caption => caption.text));
  expect(sequences).toHaveLength(2);
  blip.dispose();
});

test('beams of several pictures stay with their picture', async () => {
  const blip = await openCaptioner('models/orchard/blip');
  const other = { ...image, data: image.data.map(v => 255 - v) };
  const options = { numBeams: 3, numReturnSequences: 2 };
  const [a, b] = [await blip.generate(image, options), await blip.generate(other, options)];
  expect((await blip.generate([image, other], options)).texts).toEqual([...a.texts, ...b.texts]);
  blip.dispose();
});

test('another size is another batch of pixels, with positions to match', async () => {
  const blip = await openCaptioner(MODEL);
  const { ids } = await blip.caption(image, undefined, { maxNewTokens: 4, size: { height: 64, width: 40 } });
  expect(ids).toHaveLength(5);
  const back = await blip.caption(image, undefined, { maxNewTokens: 12 });
  expect(back.ids).toEqual([...golden.ints('unconditional').data]);
  blip.dispose();
});

test('a caption may ask for more than the decoder writes, but not use it', async () => {
  const blip = await openCaptioner(MODEL);
  await expect(blip.caption(image, undefined, { maxNewTokens: 128 })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: decode: the text is longer than its cache: expected at most 64 ids, got 65. Lower maxNewTokens, or end the text earlier.]`,
  );
  expect((await blip.caption(image, undefined, { maxNewTokens: 63 })).ids).toHaveLength(64);
  blip.dispose();
});

test('offloaded, nothing stays on the device between calls, and the captions are the same', async () => {
  const kept = await openCaptioner(MODEL);
  const expected = await kept.caption(image);
  const held = kept.bytes;
  expect(held).toBeGreaterThan(0);
  expect(kept.peakBytes).toBeGreaterThanOrEqual(held);
  kept.unload();
  expect(kept.bytes).toBe(0);
  expect(await kept.caption(image)).toEqual(expected);
  expect(kept.bytes).toBe(held);
  kept.dispose();
  expect(kept.bytes).toBe(0);

  const events: ProgressEvent[] = [];
  const offloaded = await openCaptioner(MODEL, { modelCpuOffload: true, onProgress: e => events.push(e) });
  expect([offloaded.bytes, events.length]).toEqual([0, 0]);
  expect(await offloaded.caption(image)).toEqual(expected);
  expect(offloaded.bytes).toBe(0);
  expect(offloaded.peakBytes).toBe(kept.peakBytes);
  const loads = events.filter(e => e.phase === 'load');
  expect(loads.at(-1)?.step).toBe(loads.at(-1)?.of);
  // What is written is counted, of at most as much as it may become.
  const texts = events.filter(e => e.phase === 'text').map(e => [e.step, e.of]);
  const tokens = expected.ids.length - 1; // the start id is given
  expect(texts).toEqual([...Array.from({ length: tokens + 1 }, (_, i) => [i, 20]), [tokens, tokens]]);
  offloaded.dispose();
});

test('memory does not grow from call to call', async () => {
  const blip = await openCaptioner(MODEL);
  const call = async (): Promise<number> => {
    await blip.caption(image, undefined, { maxNewTokens: 4 });
    await blip.caption(image, 'a b', { maxNewTokens: 4, numBeams: 2 });
    return blip.bytes;
  };
  const first = await call();
  expect([await call(), await call()]).toEqual([first, first]);
  blip.dispose();
});

test('one call at a time; an aborted or failed one leaves the captioner usable', async () => {
  const blip = await openCaptioner(MODEL);
  const running = blip.caption(image);
  await expect(blip.caption(image)).rejects.toThrowErrorMatchingInlineSnapshot(
    `[DeviceError: generate: the captioner is busy: expected one call at a time, got generate is still running. Await the other call, abort it by its signal, or open a second captioner on the same device.]`,
  );
  expect(() => blip.unload()).toThrow('busy');
  const expected = await running;
  const control = new AbortController();
  const reason = new Error('enough');
  const aborted = blip.caption(image, undefined, {
    signal: control.signal,
    onToken: e => e.position === 3 && control.abort(reason),
  });
  await expect(aborted).rejects.toBe(reason);
  await expect(blip.caption(image, undefined, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  await expect(blip.caption(image, undefined, { numBeams: 0 })).rejects.toThrow('numBeams');
  expect(await blip.caption(image)).toEqual(expected);
  blip.dispose();
});

test('disposed in the middle of a call, the call ends with an error and nothing stays', async () => {
  const blip = await openCaptioner(MODEL);
  const running = blip.caption(image);
  blip.dispose();
  await expect(running).rejects.toThrow('disposed');
  expect(blip.bytes).toBe(0);
  await expect(blip.caption(image)).rejects.toThrowErrorMatchingInlineSnapshot(
    `[DeviceError: generate: the captioner was disposed. Open it again with fromPretrained().]`,
  );
});

test('refuses pictures and ids that make no sense', async () => {
  const blip = await openCaptioner(MODEL);
  await expect(blip.caption(undefined as never)).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipProcessor: not a picture or array: got undefined. Read addresses with loadImage, files with readImage of 'pentimento/node'.]`,
  );
  await expect(blip.caption(image, 7 as never)).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: BertTokenizer.encode: the text is not a string: expected a string, got number. Pass one string, or a list of strings to encodeBatch.]`,
  );
  await expect(
    blip.generate({ pixels: { data: pixels.data, shape: [3, 48, 48] } }),
  ).rejects.toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: BlipForConditionalGeneration: not pictures: expected [N, 3, H, W], got [3, 48, 48] (pixels)]`,
  );
  await expect(blip.generate({ pixels, ids: [] })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipForConditionalGeneration: ids do not fit the pictures: expected 1 rows of at least two ids, [CLS] and [SEP], none of them padding, got [] (ids)]`,
  );
  const padded = [[2, 30, 3, blip.tokenizer.padId]];
  await expect(blip.generate({ pixels, ids: padded })).rejects.toThrow('none of them padding');
  const small = { data: pixels.data.slice(0, 3 * 48 * 40), shape: [1, 3, 48, 40] };
  await expect(blip.generate({ pixels: small })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: blipVision: pictures of another size: expected [N, 3, 48, 48], got [1, 3, 48, 40]. Resize the picture, or pass positions from interpolatePositions().]`,
  );
  await expect(blip.generate({ pixels: { data: pixels.data.slice(1), shape: pixels.shape } })).rejects.toThrow(
    'wrong number of values',
  );
  blip.dispose();
});

test('warns of 8 heads, and refuses folders that are no captioner', async () => {
  const gpu = await testGpu();
  const base = overlay(repositoryFolder(MODEL), repositoryFolder('test/golden/tokenizers/orchard-blip'));
  const config = JSON.parse(await base.text('config.json'));
  const changed = (files: Record<string, string>) => overlay(memoryFolder(files, 'changed'), base);
  const warnings: string[] = [];
  const heads = { ...config, text_config: { ...config.text_config, num_attention_heads: 8 } };
  const options = { gpu, onWarning: (message: string) => warnings.push(message) };
  const blip = await BlipForConditionalGeneration.fromPretrained(
    changed({ 'config.json': JSON.stringify(heads) }),
    options,
  );
  expect(blip.config.text.heads).toBe(8);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain('8 heads');
  blip.dispose();

  const open = (files: Record<string, string>) => BlipForConditionalGeneration.fromPretrained(changed(files), { gpu });
  await expect(open({ 'config.json': '{' })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipForConditionalGeneration.fromPretrained: the file is not JSON (changed/config.json). Download it again.]`,
  );
  await expect(open({ 'config.json': '[]' })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipForConditionalGeneration.fromPretrained: the file is not a JSON object (changed/config.json). Download it again.]`,
  );
  await expect(
    BlipForConditionalGeneration.fromPretrained(memoryFolder({}, 'empty'), { gpu }),
  ).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipForConditionalGeneration.fromPretrained: config.json is missing (empty). Pass a model folder as transformers saves it.]`,
  );
  const wide = { ...config, vision_config: { ...config.vision_config, num_hidden_layers: 2 } };
  (
    await BlipForConditionalGeneration.fromPretrained(changed({ 'config.json': JSON.stringify(wide) }), options)
  ).dispose();
  expect(warnings).toHaveLength(2);
  expect(warnings[1]).toMatch(/the model has no use for vision_model\.encoder\.layers\.2\..+ and \d+ more; ignored$/);
  const deep = { ...config, vision_config: { ...config.vision_config, num_hidden_layers: 4 } };
  await expect(open({ 'config.json': JSON.stringify(deep) })).rejects.toThrow(
    'missing: vision_model.encoder.layers.3.layer_norm1.weight',
  );
  await expect(
    BlipForConditionalGeneration.fromPretrained(base, { gpu, dtype: 'int8' as never }),
  ).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipForConditionalGeneration.fromPretrained: unknown dtype: expected float32 or float16, got "int8" (dtype)]`,
  );
  await expect(BlipForConditionalGeneration.fromPretrained(base, { gpu, variant: 'fp16' })).rejects.toThrow(
    'variant "fp16"',
  );
  const reason = new Error('never mind');
  await expect(
    BlipForConditionalGeneration.fromPretrained(base, { gpu, signal: AbortSignal.abort(reason) }),
  ).rejects.toBe(reason);
});
