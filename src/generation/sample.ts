/** One token at a time for every row: the likeliest, or one drawn by chance. */
import type { StepDecoder } from './decoder.ts';
import { argmax, softmax } from './numerics.ts';
import type { GenerationPlan } from './plan.ts';
import type { GenerateOutput } from './types.ts';

/**
 * Writes until every row is done. Sampling draws for all rows at once, done ones too: one exponential for each entry of
 * [rows, V], as torch.multinomial does.
 * @param decoder with as many rows as the plan's prompt, its cache empty
 * @see transformers GenerationMixin._sample
 */
export async function sample(decoder: StepDecoder, plan: GenerationPlan): Promise<GenerateOutput> {
  const { doSample, outputScores, outputLogits } = plan.settings;
  const sequences = plan.prompt.map(ids => [...ids]);
  const done = sequences.map(() => false);
  const record = { scores: [] as Float32Array[], logits: [] as Float32Array[] };
  const onDevice = !doSample && !outputScores && !outputLogits && plan.processors.length === 0;

  const choose = (scores: Float32Array): readonly number[] => {
    if (outputLogits) record.logits.push(scores.slice());
    for (const process of plan.processors) process(scores, sequences);
    if (outputScores) record.scores.push(scores.slice());
    return doSample ? draw(scores, decoder, plan) : rowsOf(scores, decoder.vocab).map(argmax);
  };

  let tokens = choose(await decoder.prefill(plan.prompt));
  for (;;) {
    tokens = append(tokens, sequences, done, plan);
    if (done.every(Boolean)) break;
    plan.signal?.throwIfAborted();
    if (onDevice && decoder.greedyStep) tokens = await decoder.greedyStep(tokens);
    else tokens = choose(await decoder.step(tokens));
    plan.signal?.throwIfAborted();
  }
  return {
    sequences,
    ...(outputScores ? { scores: record.scores } : {}),
    ...(outputLogits ? { logits: record.logits } : {}),
  };
}

/** Puts one token behind every row; rows that are done get padding. @returns what was put there */
function append(tokens: readonly number[], sequences: number[][], done: boolean[], plan: GenerationPlan): number[] {
  const put = tokens.map((token, r) => (done[r] && plan.padId !== null ? plan.padId : token));
  put.forEach((token, row) => {
    const ids = sequences[row] ?? [];
    ids.push(token);
    if (done[row]) return;
    done[row] = plan.isDone(ids);
    plan.onToken?.({ row, token, position: ids.length - 1, done: done[row] ?? false });
  });
  return put;
}

function draw(scores: Float32Array, { rows, vocab }: StepDecoder, plan: GenerationPlan): readonly number[] {
  const probabilities = new Float32Array(scores.length);
  rowsOf(scores, vocab).forEach((row, r) => {
    probabilities.set(softmax(row), r * vocab);
  });
  return [...plan.generator.multinomial(probabilities, rows, vocab)];
}

function rowsOf(scores: Float32Array, vocab: number): Float32Array[] {
  return Array.from({ length: scores.length / vocab }, (_, r) => scores.subarray(r * vocab, (r + 1) * vocab));
}
