/** The embedded model behind a server: how often it is asked and what for, and that a signal ends the loading wherever it is. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { urlFolder } from '../../src/io/url-source.ts';
import { DiffEditPipeline, type PretrainedOptions } from '../../src/pipeline/diffedit/pipeline.ts';
import { countDevice } from '../support/counting.ts';
import { type FileServer, fileServer } from '../support/file-server.ts';
import { testGpu } from '../support/gpu.ts';

let server: FileServer;
beforeAll(async () => {
  server = await fileServer(new URL('../../models/orchard/stable-diffusion', import.meta.url).pathname);
});
afterAll(() => server.close());
beforeEach(() => server.reset());

const open = async (options: PretrainedOptions = {}): Promise<DiffEditPipeline> =>
  DiffEditPipeline.fromPretrained(urlFolder(server.url), { gpu: await testGpu(), ...options });
const WEIGHTS = /\.safetensors$/;

it('few requests bring the model, several at once, and none comes twice', async () => {
  server.latencyMs = 60;
  (await open()).dispose();
  expect(server.asked.length).toBeLessThanOrEqual(40);
  expect(new Set(server.asked.map(({ path, range }) => `${path} ${range}`)).size).toBe(server.asked.length);
  expect(server.most).toBeGreaterThanOrEqual(4);
  expect(server.most).toBeLessThanOrEqual(6);
  const small = server.asked.filter(({ path }) => !WEIGHTS.test(path)).map(({ path }) => path);
  expect(new Set(small).size).toBe(small.length);
});

it('before weights are wanted, each file costs one request: configs whole, of weights the header', async () => {
  (await open({ loadWhenNeeded: true })).dispose();
  expect(server.asked.map(({ path, status }) => `${path} ${status}`)).toEqual([
    'pentimento.json 206',
    'model_index.json 206',
    'text_encoder/config.json 206',
    'text_encoder/model.safetensors 206',
    'unet/config.json 206',
    'unet/diffusion_pytorch_model.safetensors 206',
    'vae/config.json 206',
    'vae/diffusion_pytorch_model.safetensors 206',
    'tokenizer/tokenizer_config.json 206',
    'tokenizer/special_tokens_map.json 206',
    'tokenizer/added_tokens.json 404',
    'tokenizer/vocab.json 206',
    'tokenizer/merges.txt 206',
    'scheduler/scheduler_config.json 206',
  ]);
});

it('a server that gives no ranges is asked once a file', async () => {
  server.ranges = false;
  (await open()).dispose();
  const paths = server.asked.map(({ path }) => path);
  expect(new Set(paths).size).toBe(paths.length);
  expect(server.asked.every(({ status }) => status === 200 || status === 404)).toBe(true);
});

describe('a signal ends the loading at once', () => {
  /** Answers with the first bytes of a range, and then with nothing. */
  const stall = (_request: IncomingMessage, response: ServerResponse): boolean => {
    response.writeHead(206, { 'content-length': 2 ** 20 }).write('x');
    return true;
  };

  it.each([
    ['a config', 0, 'unet/config.json'],
    ['the header of a file of weights', 0, 'vae/diffusion_pytorch_model.safetensors'],
    ['weights, four requests of which are on their way', 1, 'unet/diffusion_pytorch_model.safetensors'],
  ])('in the middle of %s', async (_where, begin, wanted) => {
    const gpu = await testGpu();
    const counter = countDevice(gpu);
    const controller = new AbortController();
    let hanging = 0;
    server.mood = (request, response, path) => {
      const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
      if (path !== wanted || from < begin) return false;
      if (++hanging === (begin > 0 ? 4 : 1)) setTimeout(() => controller.abort(new Error('enough')), 20);
      if (from === 0) return stall(request, response);
      const whole = 17_613_960;
      response.writeHead(206, { etag: `"${path} ${whole}"`, 'content-range': `bytes ${from}-${whole - 1}/${whole}` });
      response.write('x');
      return true;
    };
    await expect(open({ gpu, signal: controller.signal })).rejects.toThrow('enough');
    counter.stop();
    expect(hanging).toBeGreaterThanOrEqual(begin > 0 ? 4 : 1);
    expect(counter.liveBytes).toBe(0);
  });
});
