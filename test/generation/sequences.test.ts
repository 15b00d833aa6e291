import { describe, expect, test } from 'vitest';
import { generate } from '../../src/generation/index.ts';
import { Generator } from '../../src/schedulers/generator.ts';
import { floats } from '../support/scheduler-numbers.ts';
import { loadGeneration, optionsOf, toyTask } from './toy.ts';

interface Case {
  readonly name: string;
  readonly seed: number | null;
  readonly encoder_decoder: boolean;
  readonly eager: number;
  readonly inputs: number[][];
  readonly arguments: Record<string, unknown>;
  readonly sequences: number[][];
  readonly steps: number;
  readonly last_scores: string;
  readonly sequences_scores?: string;
  readonly beam_indices?: number[][];
}

const { cases } = loadGeneration('sequences') as { cases: Case[] };
/** torch takes its own exponential and sums in lanes: a few units in the last place of scores of magnitude 10. */
const SCORE = 4e-6;

/** Fails where a value differs, or where only one of both is infinite. */
function expectScores(actual: Float32Array, expected: Float32Array): void {
  expect(actual.length).toBe(expected.length);
  const off = [...actual].findIndex(
    (x, i) => !(x === expected[i] || Math.abs(x - expected[i]) <= SCORE * Math.max(1, Math.abs(x))),
  );
  expect(off === -1 ? 'equal' : `${off}: ${actual[off]} is not ${expected[off]}`).toBe('equal');
}

describe('generate returns the ids that transformers returns', () => {
  test.each(cases)('$name', async c => {
    const task = toyTask(c.inputs, c.encoder_decoder, c.eager);
    const generator = new Generator(c.seed ?? 0);
    const result = await generate(task, { ...optionsOf(c.arguments), generator, outputScores: true });
    expect(result.sequences).toEqual(c.sequences);
    expect(result.scores?.length).toBe(c.steps);
    expectScores(result.scores?.at(-1) ?? new Float32Array(), floats(c.last_scores));
    if (c.sequences_scores) expectScores(Float32Array.from(result.sequencesScores ?? []), floats(c.sequences_scores));
    const width = Math.max(0, ...(result.beamIndices ?? []).map(rows => rows.length));
    const padded = result.beamIndices?.map(rows => [...rows, ...new Array(width - rows.length).fill(-1)]);
    if (c.beam_indices) expect(padded).toEqual(c.beam_indices);
    expect(task.decoders.map(decoder => decoder.disposed)).toEqual([true]);
  });

  test('the recorded cases differ where they should', () => {
    const ids = (name: string) => JSON.stringify(cases.find(c => c.name === name)?.sequences);
    const beams = (stop: string) => ids(`beams 4, length_penalty 1.0, early_stopping ${stop}`);
    expect(new Set(['False', 'True', 'never'].map(beams)).size).toBeGreaterThan(1);
    expect(
      new Set([-1, 0, 0.6, 1, 2].map(p => ids(`beams 4, length_penalty ${p.toFixed(1)}, early_stopping never`))).size,
    ).toBeGreaterThan(2);
    expect(ids('sample, top_p, seed 0')).not.toBe(ids('sample, top_k null, seed 0'));
  });
});
