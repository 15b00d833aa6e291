import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { readImage } from '../../src/node/images.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { pentimento } from '../support/command.ts';

const APPLES = ['models/orchard/samples/apples-bowl.png', '--prompt', 'a bowl of apples'];
const FEW = ['--preset', 'diffusers', '--num-inference-steps', '10', '--guidance-scale', '6', '--seed', '0'];
let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-reconstruct-'));
});
afterAll(() => rm(root, { recursive: true }));

it('a reconstruction is told of in dB, the worse the more it is guided, and drawn beside the picture', async () => {
  const output = join(root, 'sheet.png');
  const { code, stdout, stderr } = await pentimento(['reconstruct', ...APPLES, ...FEW, '-o', output, '--json']);
  expect(stderr).not.toMatch(/^error/m);
  expect(code).toBe(0);
  const { psnr, files, workingSize } = JSON.parse(stdout);
  expect(files).toEqual({ sheet: output });
  const [none, back, both] = psnr.settings;
  expect(
    [none, back, both].map(({ invertGuidanceScale, guidanceScale }) => [invertGuidanceScale, guidanceScale]),
  ).toEqual([
    [1, 1],
    [1, 6],
    [6, 6],
  ]);
  expect(psnr.vae).toBeGreaterThan(none.psnr);
  expect(none.psnr).toBeGreaterThan(back.psnr);
  const sheet = await readImage(output);
  expect(sheet.width).toBeGreaterThan(5 * workingSize.width);
});

it('guidance of the way back is what an edit would take, and nothing is said of masks', async () => {
  const { settings: file } = JSON.parse(await readFile('models/orchard/stable-diffusion/pentimento.json', 'utf8'));
  const calls = vi.spyOn(DiffEditPipeline.prototype, 'reconstruct').mockRejectedValue(new Error('far enough'));
  const { stderr } = await pentimento(['reconstruct', ...APPLES]);
  const told = `Settings that the model recommends: --invert-guidance-scale ${file.invertGuidanceScale} --guidance-scale ${file.guidanceScale} --guidance-interval ${file.guidanceInterval} --inpaint-strength ${file.inpaintStrength} (`;
  expect(stderr).toContain(told);
  expect(calls.mock.calls[0]?.[0]).toMatchObject({ guidanceScale: 1, invertGuidanceScale: 1 });
  calls.mockRestore();
  const { stdout } = await pentimento(['reconstruct', ...APPLES, '--num-inference-steps', '2', '--json']);
  const { psnr, settings, fromPreset } = JSON.parse(stdout);
  expect(psnr.settings.map((one: { guidanceScale: number }) => one.guidanceScale)).toEqual([1, file.guidanceScale]);
  expect(settings).toMatchObject({ guidanceScale: file.guidanceScale, invertGuidanceScale: 1, numInferenceSteps: 2 });
  expect(settings).not.toHaveProperty('maskMode');
  expect([...fromPreset].sort()).toEqual([
    'guidanceInterval',
    'guidanceScale',
    'inpaintStrength',
    'invertGuidanceScale',
  ]);
});

it('the table has one line for each, and one for the VAE alone', async () => {
  const ddpm = ['--inversion', 'ddpm', '--guidance-scale', '1'];
  const { code, stdout } = await pentimento(['reconstruct', ...APPLES, ...FEW, ...ddpm]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^through the VAE alone {13}\d\d\.\d dB\ninversion guidance 1, guidance 1 {2}\d\d\.\d dB\n$/);
  const [vae, image] = stdout.match(/\d\d\.\d/g) ?? [];
  expect(image).toBe(vae); // the noise that was found undoes every step
});

it('what it cannot read or write is refused before a model is loaded', async () => {
  const wrong = await pentimento(['reconstruct', ...APPLES, '-o', join(root, 'sheet.txt')]);
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringMatching(/sheet\.txt/)]);
  const interval = await pentimento(['reconstruct', ...APPLES, '--guidance-interval', '0.8,0.2']);
  expect([interval.code, interval.stderr]).toEqual([2, expect.stringMatching(/two numbers from 0 to 1/)]);
});
