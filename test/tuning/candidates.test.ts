/** Every variant of every op, in every cut that it lists, gives what the formula gives in f64: all elements, of every kind of problem. */
import { describe, expect, it } from 'vitest';
import type { Caps } from '../../src/gpu/caps.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { candidatesOf, nameOf, type Op } from '../../src/kernels/op.ts';
import { OPS } from '../../src/kernels/registry.ts';
import { toleranceOf, wrongMoments, wrongSample } from '../../src/tuning/compare.ts';
import { Contender, callsBy } from '../../src/tuning/contender.ts';
import { OpenCase } from '../../src/tuning/open-case.ts';
import { caseOf } from '../../src/tuning/problem-case.ts';
import { candidateName } from '../../src/tuning/tasks.ts';
import { testGpu } from '../support/gpu.ts';
import { type NamedProblem, opProblems } from '../support/op-problems.ts';

const FULL = process.env.PENTIMENTO_FULL !== undefined;

/** One problem of each op, and what the broadcast family does beside it; all kinds take minutes to compile. */
const DAILY =
  /^(linear (in panels|in rows|of few rows)|conv2d (of three|in rows)|matmul of two|attention plain|\w+Norm rows|softmax|groupNormFinalize (counted|measured))/;

/** Runs all that fit, and returns their names and what is wrong. */
async function runAll(
  gpu: Gpu,
  { op: name, problem }: NamedProblem,
  cutFor: Caps,
  ran: Set<string>,
): Promise<string[]> {
  const op = OPS.find(one => one.name === name) as unknown as Op<unknown>;
  const { caps } = gpu;
  const layout = op.packed?.(problem);
  const open = await OpenCase.open(gpu, caseOf(op, problem, caps));
  const { problemCase, values } = open;
  const [elements] = problemCase.buffers[problemCase.output] ?? [0];
  const exact = Array.from({ length: elements }, (_, at) => ({ at, expected: problemCase.expected(values, at) }));
  const written = exact.filter(({ expected }) => !Number.isNaN(expected));
  expect(written.length).toBeGreaterThan(0);
  const size = Math.sqrt(written.reduce((sum, { expected }) => sum + expected ** 2, 0) / written.length);
  const fitting = op.variants.filter(v => (layout === undefined || v.weights === layout) && v.fits(caps, problem));
  const wrong: string[] = [];
  for (const variant of fitting) {
    for (const tiles of candidatesOf(variant, cutFor, problem)) {
      // Products that are written out are the same in a loop, and ten seconds of compiling in software.
      const cut = 'UNROLL' in tiles ? { ...tiles, UNROLL: 1 } : tiles;
      const contender = await Contender.build(gpu, callsBy(variant, caps, problem, cut), open);
      open.spoil();
      contender.list.submit();
      await gpu.idle();
      const result = await open.read();
      const rounds = variant.stem.endsWith('matrix') && caps.matrix?.component === 'f16';
      const tolerance = rounds ? { own: 2e-3, all: 4e-3 } : toleranceOf(problemCase);
      const moments = problemCase.moments && wrongMoments(problemCase.moments, result, await open.read('moments'));
      const problemOf = wrongSample(result, written, tolerance, size) ?? moments;
      const left = exact.find(({ at, expected }) => Number.isNaN(expected) && result[at] !== spoiled(result));
      if (problemOf) wrong.push(`${candidateName(variant, tiles)}: ${problemOf}`);
      if (left) wrong.push(`${candidateName(variant, tiles)} wrote element ${left.at}`);
      ran.add(`${op.name}/${nameOf(variant)}`);
      contender.dispose();
    }
  }
  open.dispose();
  return wrong;
  function spoiled(result: Float32Array): number | undefined {
    return exact.flatMap(({ at, expected }) => (Number.isNaN(expected) ? [result[at]] : []))[0];
  }
}

describe('every cut of every variant', () => {
  const ran = new Set<string>();
  const forms = [
    ['f32', 'f32'],
    ['f32', 'bf16-packed'],
    ['f16-packed', 'f16-packed'],
    ['f16', 'f16'],
  ] as const;

  it.each(FULL ? forms : [forms[0]])('is right for %s activations and %s weights', async (act, weight) => {
    const gpu = await testGpu(act === 'f16-packed' ? { half: 'f16-packed' } : {});
    const known = act === 'f16' && gpu.caps.half !== 'f16' ? 'f16-packed' : act;
    const wrong: Record<string, string[]> = {};
    const all = opProblems(known, weight === 'f16' ? known : weight);
    for (const problem of FULL ? all : all.filter(({ name }) => DAILY.test(name))) {
      const found = await runAll(gpu, problem, gpu.caps, ran);
      if (found.length > 0) wrong[problem.name] = found;
    }
    expect(wrong).toEqual({});
  });

  it.runIf(FULL)('is right in the cuts of cards too', async () => {
    const gpu = await testGpu({});
    const wrong: Record<string, string[]> = {};
    for (const problem of opProblems('f32')) {
      const found = await runAll(gpu, problem, { ...gpu.caps, software: false }, ran);
      if (found.length > 0) wrong[problem.name] = found;
    }
    expect(wrong).toEqual({});
  });

  it('has run every variant that the device can run', async () => {
    const { caps } = await testGpu({});
    const all = OPS.flatMap(op => op.variants.map(v => `${op.name}/${nameOf(v)}`));
    const able = all.filter(name => {
      if (name.includes('broadcast-wide')) return caps.subgroupSize > 0 && caps.subgroupSize <= 8;
      if (name.includes('broadcast')) return caps.subgroupSize >= 4 && caps.subgroupSize <= 16;
      return !name.includes('matrix') || caps.matrix !== undefined;
    });
    // Plain matrices are no panels.
    expect(able.filter(name => !ran.has(name))).toEqual(able.filter(name => name === 'matmul/gemm-matrix-panels'));
  });
});
