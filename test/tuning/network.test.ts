/** A network that is loaded and compiled with a measured table runs what the table says, and any part of a batch gives the bits of the whole. */
import { describe, expect, it } from 'vitest';
import type { Gpu } from '../../src/gpu/device.ts';
import { CONV2D, type Conv2dProblem } from '../../src/kernels/conv2d.ts';
import type { GemmProblem } from '../../src/kernels/gemm.ts';
import { LINEAR } from '../../src/kernels/linear.ts';
import { choose, conditionsOf, nameOf, type Op, type Tuning } from '../../src/kernels/op.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import { Contender, callsBy } from '../../src/tuning/contender.ts';
import { HeardProblems } from '../../src/tuning/heard.ts';
import { inLayout, weightOf } from '../../src/tuning/layouts.ts';
import { OpenCase } from '../../src/tuning/open-case.ts';
import { caseOf } from '../../src/tuning/problem-case.ts';
import { type MeasuredChoice, tuningOf } from '../../src/tuning/table.ts';
import { tune } from '../../src/tuning/tune.ts';
import { expectClose } from '../support/close.ts';
import { loadGolden } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { loadPart } from '../support/stable-diffusion.ts';

/** Runs the text encoder, and hears its linear layers. */
async function encode(gpu: Gpu, tuning: Tuning): Promise<{ hidden: Float32Array; linears: readonly GemmProblem[] }> {
  const { model, weights } = await loadPart(gpu, 'sd2/model', 'text_encoder', { dtype: 'float16', tuning });
  const ids = loadGolden('sd2').tensor('text.input_ids');
  const input = DeviceTensor.from(gpu, ids.data, ids.shape, 'uint32');
  const graph = new Graph(gpu, { dtype: 'float16' });
  const output = model.forward(graph.input(input));
  const target = DeviceTensor.create(gpu, output.shape, output.dtype);
  graph.store(output, target);
  const heard = new HeardProblems();
  const plan = await graph.compile({ tuning: heard.listen(tuning) });
  plan.run();
  const hidden = await target.read();
  for (const each of [plan, input, target, weights]) each.dispose();
  return {
    hidden,
    linears: heard.all.filter(({ op }) => op === 'linear').map(({ problem }) => problem as GemmProblem),
  };
}

describe('a network', () => {
  it('packs its weights and runs its layers as the table says', async () => {
    const gpu = await testGpu();
    const { linears } = await encode(gpu, {});
    // What no device takes by itself here: units that are emulated, with weights in rows; or tiles.
    const units = gpu.caps.matrix !== undefined;
    const layout = units ? 'rows' : 'panels';
    const variant = units ? 'gemm-matrix' : 'gemm-tile';
    const choices = linears.map((problem): MeasuredChoice => {
      return { op: 'linear', where: conditionsOf(LINEAR, inLayout('linear', problem, layout)), variant };
    });
    const tuned = await encode(gpu, tuningOf({ choices }));
    expect(tuned.linears.length).toBeGreaterThan(2);
    expect(new Set(tuned.linears.map(({ b }) => b.layout))).toEqual(new Set([layout]));
    const chosen = tuned.linears.map(problem => nameOf(choose(LINEAR, gpu.caps, problem, tuningOf({ choices }))));
    expect(new Set(chosen)).toEqual(new Set([variant]));
    expect(linears.map(problem => nameOf(choose(LINEAR, gpu.caps, problem)))).not.toContain(variant);
    expectClose(tuned.hidden, loadGolden('sd2').tensor('text.last_hidden_state').data, 1e-2, 'tuned');
  });

  it('is known to the tuner by weights that several problems share', () => {
    const sides = { a: { pitch: 64, storage: 'f32' }, y: { pitch: 96, storage: 'f32' } } as const;
    const base: GemmProblem = {
      batch: 1,
      rows: 8,
      columns: 96,
      k: 64,
      ...sides,
      b: { layout: 'panels', storage: 'f32' },
    };
    const part = { ...base, k: 32, b: { ...base.b, kTotal: 64, kOffset: 32 } };
    expect(weightOf('linear', part)).toBe(weightOf('linear', { ...base, rows: 77 }));
    expect(weightOf('linear', { ...base, k: 72 })).not.toBe(weightOf('linear', base));
    expect(weightOf('softmax', {})).toBe(undefined);
  });
});

/** Elements of the result of a problem, by a table; inputs are the same for all that share their beginning. */
async function resultOf<P>(gpu: Gpu, op: Op<P>, problem: P, tuning: Tuning, shared: OpenCase): Promise<Float32Array> {
  const own = caseOf(op, problem, gpu.caps);
  const variant = choose(op, gpu.caps, problem, tuning);
  const contender = await Contender.build(
    gpu,
    callsBy(variant, gpu.caps, problem, variant.tiles(gpu.caps, problem)),
    shared,
  );
  shared.spoil();
  contender.list.submit();
  const all = await shared.read();
  contender.dispose();
  return all.slice(0, own.buffers[own.output]?.[0] ?? 0);
}

describe('with one table, a part of a batch gives the bits of the whole', () => {
  const storages = { input: 'f32', weight: 'f32', output: 'f32' } as const;
  const around = { top: 1, right: 1, bottom: 1, left: 1 };
  const map = {
    height: 6,
    width: 8,
    channels: 16,
    outChannels: 24,
    kernel: [3, 3],
    stride: 1,
    padding: around,
  } as const;
  const maps = (images: number): Conv2dProblem => ({ ...map, ...storages, images });
  const sides = { a: { pitch: 48, storage: 'f32' }, y: { pitch: 40, storage: 'f32' } } as const;
  const tokens = (itemRows: number, items: number): GemmProblem => ({
    ...{ batch: 1, itemRows, rows: itemRows * items, columns: 40, k: 48, ...sides },
    b: { layout: 'panels', storage: 'f32', kTotal: 48 },
  });

  it.each([
    ['maps', CONV2D, [1, 2, 5].map(maps)],
    ['tokens of pictures', LINEAR, [1, 3, 4].map(items => tokens(7, items))],
    ['single rows', LINEAR, [1, 4, 16].map(items => tokens(1, items))],
  ] as [string, Op<unknown>, readonly unknown[]][])('of %s', async (_, op, problems) => {
    const gpu = await testGpu();
    const table = await tune(
      gpu,
      problems.map(problem => ({ op: op.name, problem })),
    );
    expect(table.choices).toHaveLength(1);
    const whole = problems[problems.length - 1];
    for (const choice of [table.choices[0], ...others(op, table.choices[0] as MeasuredChoice)]) {
      const tuning = tuningOf({ choices: [choice as MeasuredChoice] });
      const open = await OpenCase.open(gpu, caseOf(op, whole, gpu.caps));
      const all = await resultOf(gpu, op, whole, tuning, open);
      for (const problem of problems) {
        const part = await resultOf(gpu, op, problem, tuning, open);
        expect([choice?.variant, JSON.stringify(problem), part.every((v, i) => v === all[i])]).toEqual([
          choice?.variant,
          JSON.stringify(problem),
          true,
        ]);
      }
      open.dispose();
    }
  });

  /** The same choice of the other variants that any device takes. */
  function others(op: Op<unknown>, choice: MeasuredChoice): MeasuredChoice[] {
    const names = op.variants.filter(({ weights }) => weights === 'panels').map(nameOf);
    return names
      .filter(name => /^(gemm-broadcast|gemv)/.test(name))
      .map(variant => ({ op: op.name, where: choice.where, variant }));
  }
});
