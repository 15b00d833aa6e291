/** The tuner: what it chooses is right and no slower; what is wrong, crashes or never compiles is thrown out by name; it ends at once. */
import { describe, expect, it } from 'vitest';
import { PentimentoError } from '../../src/core/errors.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { CONV2D } from '../../src/kernels/conv2d.ts';
import type { KernelCall } from '../../src/kernels/kernel.ts';
import { choose, nameOf, type Variant } from '../../src/kernels/op.ts';
import { SOFTMAX, type SoftmaxProblem } from '../../src/kernels/softmax.ts';
import { samplesOf } from '../../src/tuning/compare.ts';
import type { Heard } from '../../src/tuning/heard.ts';
import { Meter } from '../../src/tuning/meter.ts';
import { caseOf } from '../../src/tuning/problem-case.ts';
import { parseTuningTable } from '../../src/tuning/read-table.ts';
import { tuningFor, tuningOf } from '../../src/tuning/table.ts';
import { type Candidate, defaultOf } from '../../src/tuning/tasks.ts';
import { Trial } from '../../src/tuning/trial.ts';
import { type TuneProgress, tune } from '../../src/tuning/tune.ts';
import { freshGpu, testGpu } from '../support/gpu.ts';

const rows = { pitch: 64, storage: 'f32' } as const;
const SCORES: SoftmaxProblem = { rows: 256, width: 64, x: rows, y: rows };
const HEARD: readonly Heard[] = [{ op: 'softmax', problem: SCORES }];
const tile = SOFTMAX.variants.find(({ stem }) => stem === 'softmax-tile') as Variant<SoftmaxProblem>;

/** A variant that is another one's, and whose call is changed. */
function planted(name: string, change: (call: KernelCall) => KernelCall): Variant<never> {
  const variant: Variant<SoftmaxProblem> = {
    ...{ stem: tile.stem, name, fits: () => true, tiles: (caps, p) => tile.tiles(caps, p) },
    call: (caps, p, tiles) => change(tile.call(caps, p, tiles)),
  };
  return variant as unknown as Variant<never>;
}

function inText(from: string, to: string): (call: KernelCall) => KernelCall {
  return call => {
    expect(call.source).toContain(from);
    return { ...call, source: call.source.replace(from, to) };
  };
}

/** Wrong in four elements of 16384, of none of which a sample is taken. */
const HIDDEN_ROW = 77;
const HIDDEN_COLUMN = 5;
const HIDDEN_ELEMENT = /^element 49(48|49|50|51) is 1\./;
const hidden = planted(
  'hidden',
  inText(
    'output_store(select(vec4f(0.0), v, inside(c)))',
    `output_store(select(v, v + vec4f(1.0), row == ${HIDDEN_ROW}u && c == ${HIDDEN_COLUMN}u))`,
  ),
);
/** The fastest of all: it writes nothing. */
const idle = planted('idle', inText('if (tile >= p.end_tile) { return; }', 'if (tile < p.end_tile) { return; }'));
const broken = planted('broken', inText('var sums = vec4f(0.0);', 'var sums = vec4f(nothing);'));
const unbound = planted('unbound', call => ({ ...call, bindings: call.bindings.slice(0, 1) }));

/** What programs without types pass, and what came back from a file. */
const NO_PROBLEMS: readonly (readonly [string, unknown])[] = [
  ['no list', { op: 'softmax' }],
  ['nothing in the list', [null]],
  ['no problem', [{ op: 'softmax' }]],
  ['no name', [{ op: 5, problem: SCORES }]],
  ['no such op', [{ op: 'softmix', problem: SCORES }]],
  ['a problem without fields', [{ op: 'linear', problem: {} }]],
  ['a problem of another op', [{ op: 'conv2d', problem: SCORES }]],
  ['no number of times', [{ op: 'softmax', problem: SCORES, times: 'often' }]],
];

/** The variant and cut that a table gives the problem. */
function chosenBy(gpu: Gpu, table: Parameters<typeof tuningOf>[0]): string {
  return nameOf(choose(SOFTMAX, gpu.caps, SCORES, tuningOf(table)));
}

describe('tune', () => {
  it('throws out what is wrong, what crashes and what is refused, and never chooses it', async () => {
    const gpu = await freshGpu();
    const { problemCase, values } = {
      problemCase: caseOf(SOFTMAX, SCORES, gpu.caps),
      values: () => new Float32Array(1e6),
    };
    const sampled = samplesOf(problemCase, values).map(({ at }) => at);
    expect(sampled.filter(at => Math.floor(at / 4) === HIDDEN_ROW * 16 + HIDDEN_COLUMN)).toEqual([]);
    const table = await tune(gpu, HEARD, { variants: { softmax: [hidden, idle, broken, unbound] } });
    const [choice] = table.choices;
    expect(Object.keys(choice?.figures?.refused ?? {}).sort()).toEqual(['broken', 'hidden', 'idle', 'unbound']);
    expect(choice?.figures?.refused).toMatchObject({
      hidden: expect.stringMatching(HIDDEN_ELEMENT),
      idle: expect.stringContaining('element 0 is'),
      broken: expect.stringContaining("unresolved value 'nothing'"),
    });
    expect(['softmax-tile', 'softmax-broadcast']).toContain(chosenBy(gpu, table));
    expect(gpu.memory.bytes).toBe(0);
    gpu.dispose();
  });

  it('asks f64 who is wrong where the one that others are compared with is it', async () => {
    const gpu = await testGpu();
    const meter = Meter.create(gpu);
    const trial = await Trial.open({ gpu, meter, longestCompile: 60_000 }, SOFTMAX, SCORES);
    const refusals = new Map<string, string>();
    const wrong: Candidate<SoftmaxProblem> = { variant: hidden as unknown as Variant<SoftmaxProblem>, name: 'hidden' };
    const right = await trial.enter(
      [wrong, { ...wrong, name: 'again' }, defaultOf(SOFTMAX, gpu.caps, SCORES)],
      refusals,
    );
    expect(right.map(({ name }) => name)).toEqual([defaultOf(SOFTMAX, gpu.caps, SCORES).name]);
    expect([...refusals.keys()].sort()).toEqual(['again', 'hidden']);
    for (const reason of refusals.values()) expect(reason).toMatch(HIDDEN_ELEMENT);
    trial.dispose();
    meter.dispose();
  });

  it('goes on with another device where a candidate loses it, as it compiles or as it runs', async () => {
    const gpu = await freshGpu();
    const lost = planted('lost', call => {
      gpu.device.destroy();
      return call;
    });
    const table = await tune(gpu, HEARD, { variants: { softmax: [lost] } });
    expect(table.choices[0]?.figures?.refused).toEqual({ lost: expect.stringContaining('the device was lost') });
    const running = planted('running', call => call);
    const guarded = gpu.guarded.bind(gpu);
    gpu.guarded = (op, work) => {
      if (op === 'running') gpu.device.destroy();
      return guarded(op, work);
    };
    const again = await tune(gpu, HEARD, { variants: { softmax: [running] } });
    expect(again.choices[0]?.figures?.refused).toEqual({ running: expect.stringContaining('the device was lost') });
    expect(gpu.renewals).toBe(3);
    expect(gpu.memory.bytes).toBe(0);
    gpu.dispose();
  });

  it('waits no longer than it is told for a compiler', async () => {
    const gpu = await freshGpu();
    await tune(gpu, HEARD); // compiles all others
    const of = gpu.pipelines.of.bind(gpu.pipelines);
    gpu.pipelines.of = (program, access) =>
      program.libs.includes('// never') ? new Promise(() => {}) : of(program, access);
    const never = planted('never', call => ({ ...call, libs: [...call.libs, '// never'] }));
    const table = await tune(gpu, HEARD, { variants: { softmax: [never] }, longestCompileMs: 2000 });
    // Others may be late too, where the machine is busy.
    expect(table.choices[0]?.figures?.refused).toMatchObject({ never: 'it was not compiled within 2000 ms' });
    gpu.dispose();
  });

  it('ends at once by its signal, wherever it is, and leaves nothing on the device', async () => {
    const gpu = await freshGpu();
    const reason = { name: 'enough' };
    const own = AbortSignal.abort(reason);
    await expect(tune(gpu, HEARD, { signal: own })).rejects.toBe(reason);
    for (const runs of [0, 1, 5]) {
      const controller = new AbortController();
      let left = runs;
      const submit = gpu.device.queue.submit.bind(gpu.device.queue);
      gpu.device.queue.submit = buffers => {
        submit(buffers);
        if (left-- === 0) controller.abort(reason);
      };
      try {
        await expect(tune(gpu, HEARD, { signal: controller.signal })).rejects.toBe(reason);
      } finally {
        gpu.device.queue.submit = submit;
      }
      expect(gpu.memory.bytes).toBe(0);
    }
    gpu.dispose();
  });

  it('tells how far it is, and gives a table that can be stored and is taken back', async () => {
    const gpu = await testGpu();
    const told: TuneProgress[] = [];
    const other = { ...SCORES, width: 40 };
    const table = await tune(gpu, [...HEARD, { op: 'softmax', problem: other }], { onProgress: p => told.push(p) });
    expect(told.map(({ done, of, op }) => `${op} ${done}/${of}`)).toEqual([
      'softmax 0/2',
      'softmax 1/2',
      'softmax 2/2',
    ]);
    expect(told[1]?.about).toBe('width 40, x.storage f32, y.storage f32');
    expect(table.choices).toHaveLength(2);
    const read = parseTuningTable(JSON.stringify(table));
    expect(read).toEqual(table);
    expect(tuningFor(read, gpu.caps).table).toHaveLength(2);
    for (const { figures } of table.choices) {
      expect(figures?.ms).toBeGreaterThan(0);
      expect(figures?.ms).toBeLessThanOrEqual(figures?.defaultMs ?? 0);
    }
  });

  it('refuses ops and options that there are not', async () => {
    const gpu = await testGpu();
    await expect(tune(gpu, [{ op: 'softmix', problem: SCORES }])).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: tune: there is no such op with variants: expected [linear, conv2d, matmul, attention, layerNorm, rmsNorm, groupNormFinalize, softmax], got "softmix" (problems[0].op)]`,
    );
    await expect(tune(gpu, HEARD, { clocks: 'clock' } as object)).rejects.toThrow('Write clock.');
  });

  it('makes one choice of problems that differ in pictures alone, so that chunks of a batch keep their bits', async () => {
    const gpu = await testGpu();
    const sides = { top: 1, right: 1, bottom: 1, left: 1 };
    const map = {
      height: 8,
      width: 8,
      channels: 8,
      outChannels: 8,
      kernel: [3, 3],
      stride: 1,
      padding: sides,
    } as const;
    const of = (images: number) => ({ ...map, images, input: 'f32', weight: 'f32', output: 'f32' }) as const;
    const heard = [1, 2, 5].map(images => ({ op: 'conv2d', problem: of(images) }));
    const table = await tune(gpu, heard);
    expect(table.choices).toHaveLength(1);
    const chosen = [1, 2, 3, 5].map(images => {
      const variant = choose(CONV2D, gpu.caps, of(images), tuningOf(table));
      return `${nameOf(variant)} ${JSON.stringify(table.choices[0]?.tiles && variant.tiles(gpu.caps, of(images)))}`;
    });
    expect(new Set(chosen).size).toBe(1);
    expect(Object.keys(table.choices[0]?.where ?? {})).not.toContain('images');
  });
});

describe('problems that are none', () => {
  it.each(NO_PROBLEMS)('are refused before the device works: %s', async (_, problems) => {
    const gpu = await testGpu();
    await expect(tune(gpu, problems as readonly Heard[])).rejects.toBeInstanceOf(PentimentoError);
  });
});
