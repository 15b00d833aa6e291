import { describe, expect, it } from 'vitest';
import { pentimento } from '../support/command.ts';

/** The names in the left column. */
const optionsIn = (help: string) =>
  [...help.matchAll(/^ {2}(-[^<[\n]*?)(?: <| {2,}|$)/gm)]
    .flatMap(([, flags]) => [...flags.matchAll(/--([a-z\d-]+)/g)].map(([, name]) => name))
    .sort();

describe('help', () => {
  it('lists the commands and says what the embedded model knows', async () => {
    const { code, stdout, stderr } = await pentimento(['--help']);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    for (const command of ['edit', 'mask', 'invert', 'guide', 'caption', 'prompts', 'convert', 'devices', 'bench'])
      expect(stdout).toContain(`\n  ${command} `);
    expect(stdout.replaceAll(/\s+/g, ' ')).toContain('The embedded model knows fruit');
  });

  it("names every option of edit with diffusers' defaults", async () => {
    const { code, stdout } = await pentimento(['edit', '--help']);
    expect(code).toBe(0);
    const defaults = {
      'num-inference-steps': 50,
      'guidance-scale': 7.5,
      'num-maps-per-mask': 10,
      'mask-encode-strength': 0.5,
      'mask-thresholding-ratio': 3,
      'mask-exponent': 1,
      'inpaint-strength': 0.8,
      'lambda-auto-corr': 20,
      'lambda-kl': 20,
      'num-reg-steps': 0,
      'num-auto-corr-rolls': 5,
      'inversion-rounds': 0,
      'guidance-rescale': 0,
      'num-images-per-prompt': 1,
      eta: 0,
    };
    const text = stdout.replaceAll(/\s+/g, ' ');
    for (const [option, value] of Object.entries(defaults)) {
      expect(text).toMatch(new RegExp(`--${option} <[nx]>[^<]*\\(default: ${value}\\)`));
    }
    const prompts = ['source', 'source-prompt', 'target', 'target-prompt', 'invert-negative-prompt'];
    const rest = [
      ...['source-negative-prompt', 'target-negative-prompt', 'negative-prompt', 'mask-guidance-scale'],
      ...['invert-guidance-scale', 'clip-skip', 'threshold', 'continuous', 'erode', 'dilate', 'blur', 'mend-quirks'],
      ...['soft-mask', 'mask-cleanup', 'no-soft-mask', 'no-mask-cleanup', 'no-continuous', 'preset'],
      ...['guidance-interval', 'inversion'],
    ];
    const extras = [
      ...[
        'seed',
        'dtype',
        'device',
        'max-binding',
        'trusted',
        'tuning',
        'json',
        'size',
        'keep-size',
        'fit',
        'paste-back',
        'no-paste-back',
        'mask',
        'latents',
        'output',
      ],
      ...['jobs', 'force', 'contact-sheet'],
      ...['model', 'variant', 'revision', 'cache-dir', 'lora', 'embedding', 'help'],
    ];
    const single = ['tokenizer', 'config', 'prediction-type', 'ema'];
    const memory = [
      ...['enable-model-cpu-offload', 'stream-weights', 'host-memory', 'max-memory', 'allow-tiles'],
      ...['enable-vae-slicing', 'enable-vae-tiling', 'vae-tile'],
    ];
    const named = [...Object.keys(defaults), ...prompts, ...rest, ...extras, ...single, ...memory];
    expect(optionsIn(stdout)).toEqual(named.sort());
    expect(text).toContain('name a model with --model');
  });

  it.each([
    [
      'mask',
      [
        'continuous',
        'soft-mask',
        'mask-cleanup',
        'dilate',
        'erode',
        'blur',
        'threshold',
        'mask-guidance-scale',
        'target-prompt',
        'source',
      ],
    ],
    ['invert', ['source', 'prompt', 'negative-prompt', 'invert-negative-prompt', 'decode-latents', 'num-reg-steps']],
    ['guide', ['from', 'to', 'num-prompts', 'no-prefix', 't5', 'blip', 'no-offload', 'continuous', 'mend-quirks']],
    ['guide', ['soft-mask', 'mask-exponent', 'mask-guidance-scale']],
    ['guide', ['preset', 'negative-prompt', 'no-soft-mask']],
    ['plan', ['soft-mask', 'mask-exponent', 'preset']],
    ['caption', ['model', 'blip', 'prefix', 'no-prefix', 'max-new-tokens', 'dtype', 'device', 'json']],
    ['prompts', ['model', 't5', 'n', 'temperature', 'top-k', 'max-new-tokens', 'seed', 'json']],
    ['convert', ['dtype', 'tokenizer', 'config', 'prediction-type', 'ema', 'cache-dir', 'json']],
    ['devices', ['json']],
    [
      'bench',
      ['against', 'json', 'label', 'svg', 'filter', 'samples', 'large', 'device', 'without', 'tuning', 'trusted'],
    ],
  ])('%s names its own options', async (command, options) => {
    expect(optionsIn((await pentimento([command, '--help'])).stdout)).toEqual(expect.arrayContaining(options));
  });

  it.each(['mask', 'invert', 'guide', 'caption', 'prompts'])('%s says what the embedded model knows', async command => {
    const { stdout } = await pentimento([command, '--help']);
    expect(stdout.replaceAll(/\s+/g, ' ')).toContain('The embedded model knows fruit');
  });

  it('prints the version of the package', async () => {
    const { code, stdout } = await pentimento(['--version']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('devices', () => {
  it('prints adapters as text and as JSON', async () => {
    const { code, stdout } = await pentimento(['devices']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/bindings up to \d+ MiB/);
    const json = JSON.parse((await pentimento(['devices', '--json'])).stdout);
    expect(stdout).toContain(json.adapters[0].name);
    expect(json.adapters[0].limits.maxStorageBufferBindingSize).toBeGreaterThan(0);
  });
});
