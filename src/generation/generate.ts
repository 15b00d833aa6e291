/** Text generation on a step decoder: greedy, sampling, beams. */
import { ShapeError } from '../core/errors.ts';
import { beamSearch } from './beams.ts';
import { planGeneration } from './plan.ts';
import { sample } from './sample.ts';
import type { GenerateOptions, GenerateOutput, GenerationTask } from './types.ts';

/**
 * Writes a text for every input: greedily, by chance (`doSample`), by beams (`numBeams`), or both. The defaults, their
 * merging with the model's files, the order of the processors and the random draws are those of transformers 4.57.
 * @param task the model with its inputs
 * @param options settings and callbacks of this call
 * @returns sequences of ids, numReturnSequences for each input
 * @throws InputError for unknown, refused or contradictory arguments; the signal's reason when it is aborted
 * @see transformers GenerationMixin.generate
 */
export async function generate(task: GenerationTask, options: GenerateOptions = {}): Promise<GenerateOutput> {
  const plan = planGeneration(task, options);
  plan.signal?.throwIfAborted();
  const rows = plan.prompt.length;
  const decoder = await task.startDecoder(rows, plan.maxLength);
  try {
    if (decoder.rows !== rows) {
      throw new ShapeError({
        op: 'generate',
        problem: 'the decoder has another number of rows',
        expected: rows,
        received: decoder.rows,
      });
    }
    return await (plan.settings.numBeams > 1 ? beamSearch(decoder, plan) : sample(decoder, plan));
  } finally {
    decoder.dispose();
  }
}
