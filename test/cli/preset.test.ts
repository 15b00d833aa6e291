/** Settings that the model recommends: taken for what no option gives, said in one line, and gone with `--preset diffusers`. */
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { pentimento } from '../support/command.ts';
import { embeddedFiles, hubScene } from '../support/hub.ts';

const APPLES = 'models/orchard/samples/apples-bowl.png';
const ORCHARD = 'models/orchard/stable-diffusion';
const PROMPTS = ['--source', 'a bowl of apples', '--target', 'a bowl of pears'];
const SAID = /^Settings that the model recommends: (.*) \(--preset diffusers takes none\)\.$/gm;

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-preset-'));
});
afterAll(() => rm(root, { recursive: true }));
afterEach(() => void vi.restoreAllMocks());

const at = (name: string) => join(root, name);
const { settings: file } = JSON.parse(await readFile(`${ORCHARD}/pentimento.json`, 'utf8'));
const recommended = { ...file, negativePrompt: '' };

type Method = 'run' | 'invert' | 'generateMask';
const METHODS: Readonly<Record<string, Method>> = { edit: 'run', invert: 'invert', mask: 'generateMask' };

/** What a command calls the pipeline with, and the options that it says it took from the model. */
async function callOf(command: string, ...more: string[]) {
  const method = METHODS[command];
  const call = vi.spyOn(DiffEditPipeline.prototype, method).mockRejectedValue(new Error('far enough'));
  const prompts = command === 'invert' ? PROMPTS.slice(0, 2) : PROMPTS;
  const output = command === 'invert' ? 'x.safetensors' : 'x.png';
  const { stderr } = await pentimento([command, APPLES, ...prompts, '-o', at(output), ...more]);
  expect(stderr).toContain('far enough');
  const [args] = call.mock.calls.at(-1) as unknown as [Record<string, unknown>];
  const said = [...stderr.matchAll(SAID)].map(([, options]) => options);
  expect(said.length).toBeLessThanOrEqual(1);
  return { args, said: said[0] };
}

const DIFFUSERS = {
  ...{ guidanceScale: 7.5, inpaintStrength: 0.8, maskThresholdingRatio: 3, maskExponent: 1 },
};

describe('edit', () => {
  it('takes what the model recommends', async () => {
    const { args, said } = await callOf('edit');
    expect(args).toMatchObject(recommended);
    expect(said).toContain(`--soft-mask --mask-exponent ${file.maskExponent} `);
    expect(said).toContain(`--guidance-scale ${file.guidanceScale} `);
    expect(said).toContain("--negative-prompt ''");
  });

  it('is diffusers with --preset diffusers', async () => {
    const { args, said } = await callOf('edit', '--preset', 'diffusers');
    expect(args).toMatchObject(DIFFUSERS);
    for (const name of ['maskMode', 'invertGuidanceScale', 'maskGuidanceScale', 'negativePrompt'])
      expect(args).not.toHaveProperty(name);
    expect(said).toBeUndefined();
  });

  it.each([
    ['a number, also where it is the default', ['--mask-thresholding-ratio', '3'], { maskThresholdingRatio: 3 }],
    [
      'guidance, and leaves the inversion its own',
      ['--guidance-scale', '7.5'],
      { guidanceScale: 7.5, invertGuidanceScale: 1 },
    ],
    ['a switch', ['--no-soft-mask'], { maskMode: 'binary' }],
    ['a negative prompt', ['--negative-prompt', 'rain'], { negativePrompt: 'rain' }],
    [
      'a negative prompt of the mask, which needs guidance',
      ['--source-negative-prompt', 'rain'],
      { maskGuidanceScale: undefined },
    ],
  ])('gives way to %s', async (_what, options, wanted) => {
    const { args, said } = await callOf('edit', ...options);
    expect({ ...args }).toEqual({ ...args, ...recommended, ...wanted });
    expect(said).not.toContain(options[0].replace('--no-', '--'));
  });

  it.each([
    ['a threshold', ['--threshold', '0.4'], { threshold: 0.4 }],
    ['grey weights', ['--continuous'], { continuous: true }],
  ])('takes no soft mask, nor its exponent, beside what is asked of a mask by %s', async (_what, options, wanted) => {
    const { args, said } = await callOf('edit', ...options);
    expect(args).toMatchObject({ ...wanted, maskThresholdingRatio: file.maskThresholdingRatio });
    expect(args).not.toHaveProperty('maskMode');
    expect(said).not.toMatch(/--soft-mask|--mask-exponent/);
  });

  it('takes the soft mask with a threshold for its clean-up', async () => {
    const { args } = await callOf('edit', '--threshold', '0.4', '--mask-cleanup');
    expect(args).toMatchObject({ maskMode: 'soft', threshold: 0.4, maskCleanup: true });
  });

  it('takes no exponent for a mask that is not soft', async () => {
    const { said } = await callOf('edit', '--no-soft-mask');
    expect(said).not.toContain('--mask-exponent');
  });

  it('says where an option changes nothing', async () => {
    const idle = async (...options: string[]) =>
      (await plan(...options)).stderr.split('\n').filter(line => line.includes('changes nothing'));
    expect(await idle('--threshold', '0.4', '--soft-mask')).toEqual([
      expect.stringMatching(/^--threshold .*leave --soft-mask out\.$/),
    ]);
    expect(await idle('--mask-exponent', '2', '--preset', 'diffusers')).toEqual([
      expect.stringMatching(/^--mask-exponent .*add --soft-mask\.$/),
    ]);
    expect(await idle('--mask-exponent', '2')).toEqual([]);
    expect(await idle('--threshold', '0.4')).toEqual([]);
    expect(await idle('--threshold', '0.4', '--soft-mask', '--mask-cleanup')).toEqual([]);
  });

  it('takes no setting of a phase that does not run', async () => {
    const { said } = await callOf('edit', '--mask', APPLES);
    expect(said).not.toContain('--mask-thresholding-ratio');
    expect(said).toContain('--soft-mask');
  });

  it("asks for an empty negative where nothing is recommended, by --negative-prompt ''", async () => {
    const { args } = await callOf('edit', '--preset', 'diffusers', '--negative-prompt', '');
    expect(args).toMatchObject({ ...DIFFUSERS, negativePrompt: '' });
  });
});

describe('the commands of single phases', () => {
  it('take what is of their phase', async () => {
    const { args, said } = await callOf('mask');
    expect(args).toMatchObject({ guidanceScale: 1, maskMode: 'soft', maskThresholdingRatio: 2 });
    expect(said).not.toMatch(/--(guidance-scale|inpaint-strength|negative-prompt|invert)/);
    expect((await callOf('invert')).args).toMatchObject({ guidanceScale: 1, inpaintStrength: 1 });
  });

  it('have one guidance, which any option gives', async () => {
    expect((await callOf('invert', '--guidance-scale', '3')).args).toMatchObject({ guidanceScale: 3 });
    expect((await callOf('mask', '--guidance-scale', '3')).args).toMatchObject({ guidanceScale: 3 });
    const { args } = await callOf('invert', '--preset', 'diffusers');
    expect(args).toMatchObject({ guidanceScale: 7.5, inpaintStrength: 0.8 });
  });
});

/** The embedded model beside another file of settings. */
async function modelWith(name: string, settings: object | undefined): Promise<string> {
  const model = at(name);
  await cp(ORCHARD, model, { recursive: true });
  await rm(join(model, 'pentimento.json'));
  if (settings) await writeFile(join(model, 'pentimento.json'), JSON.stringify(settings));
  return model;
}

/** What `plan` says of the settings; the plans themselves are not made. */
const plan = async (...more: string[]) => {
  vi.spyOn(DiffEditPipeline.prototype, 'planSavings').mockResolvedValue([]);
  const { code, stdout, stderr } = await pentimento(['plan', '--default-limits', '--json', ...more]);
  expect(code).toBe(0);
  return { json: JSON.parse(stdout), stderr };
};

it('a setting that does not go with an option gives way to it, and guidance to a negative prompt that it would pass over', async () => {
  const settings = { inversion: 'ddpm', eta: 1, guidanceScale: 1, inpaintStrength: 0.6 };
  const model = await modelWith('ddpm', { version: 1, settings });
  const taken = async (...options: string[]) => (await callOf('edit', '--model', model, ...options)).args;
  expect(await taken()).toMatchObject(settings);
  const rounds = await taken('--inversion-rounds', '2');
  expect(rounds).toMatchObject({ inversionRounds: 2, eta: 1, inpaintStrength: 0.6 });
  expect(rounds).not.toHaveProperty('inversion', 'ddpm');
  expect(await taken('--eta', '0.5')).not.toHaveProperty('inversion', 'ddpm');
  expect(await taken('--inversion-rounds', '0')).toMatchObject(settings);
  expect(await taken('--negative-prompt', 'rain')).toMatchObject({ guidanceScale: 7.5, inversion: 'ddpm' });
});

it('an interval of guidance gives way to a negative prompt of a phase that it leaves without any', async () => {
  const guidanceInterval = [0.85, 1];
  const model = await modelWith('interval', { version: 1, settings: { guidanceInterval } });
  const taken = async (...options: string[]) =>
    (await callOf('edit', '--model', model, ...options)).args['guidanceInterval'];
  expect(await taken()).toEqual(guidanceInterval);
  const whole = await taken('--source-negative-prompt', 'rain');
  expect(whole === undefined || String(whole) === '0,1').toBe(true);
  expect(await taken('--negative-prompt', 'rain')).toEqual(whole);
  expect(await taken('--negative-prompt', 'rain', '--inpaint-strength', '0.9')).toEqual(guidanceInterval);
  expect(await taken('--target-negative-prompt', 'rain', '--mask-encode-strength', '0.9')).toEqual(guidanceInterval);
  const asked = ['--source-negative-prompt', 'rain', '--guidance-interval', '0.85,1'];
  expect(await taken(...asked)).toEqual(guidanceInterval);
});

it('a file of settings that the system does not show hinders no command', async () => {
  const model = await modelWith('loop', undefined);
  await symlink('pentimento.json', join(model, 'pentimento.json'));
  expect((await plan('--model', model)).json.preset).toBe('diffusers');
});

describe('--json', () => {
  it('reports the settings, and which of them the model recommends', async () => {
    const { json } = await plan('--guidance-scale', '7.5');
    expect(json.preset).toBe('recommended');
    expect(json.settings).toMatchObject({ ...recommended, guidanceScale: 7.5, numInferenceSteps: 50, eta: 0 });
    expect([...json.fromPreset].sort()).toEqual(
      Object.keys(file)
        .filter(name => name !== 'guidanceScale')
        .sort(),
    );
    const plain = (await plan('--preset', 'diffusers')).json;
    expect([plain.preset, plain.fromPreset]).toEqual(['diffusers', []]);
    expect(plain.settings).toMatchObject({ ...DIFFUSERS, maskMode: 'binary', invertGuidanceScale: 7.5 });
  });

  it('is of diffusers where the model recommends nothing, which is said to who asks for it', async () => {
    const model = await modelWith('none', undefined);
    const { json, stderr } = await plan('--model', model);
    expect([json.preset, json.fromPreset, stderr]).toEqual(['diffusers', [], '']);
    const asked = await plan('--model', model, '--preset', 'recommended');
    expect(asked.stderr).toBe("The model recommends no settings: diffusers' own are taken.\n");
  });

  it('takes what is right of a file, and warns once of what is not', async () => {
    const settings = { guidanceScale: 3, seed: 4, sourcePrompt: 'a cat', maskMod: 'soft', inpaintStrength: 2 };
    const model = await modelWith('bad', { version: 1, settings });
    const { json, stderr } = await plan('--model', model);
    expect(json.fromPreset).toEqual(['guidanceScale']);
    // By the names of the file, which its author has to mend, and not by those of options.
    const warnings = stderr.split('\n').filter(line => line.endsWith('left out.'));
    expect(warnings.map(line => line.slice(line.indexOf(': ') + 2))).toEqual([
      '"seed" is not for a model to recommend; left out.',
      '"sourcePrompt" is not for a model to recommend; left out.',
      'unknown setting "maskMod" (is it "maskMode"?); left out.',
      '"inpaintStrength" is 2, not a number from 0 to 1; left out.',
    ]);
  });
});

describe('a repository of the Hub', () => {
  it('brings its settings', async () => {
    const { hub } = scene;
    vi.stubEnv('HF_ENDPOINT', hub.url);
    hub.files = embeddedFiles();
    const { json } = await plan('--model', 'someone/small');
    expect(json.fromPreset).toHaveLength(Object.keys(file).length);
  });
});

const scene = await hubScene();
