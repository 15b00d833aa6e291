/** One embedding for each concept: the mean of its sentences' last hidden states. */
import { type DiffEditPipeline, embedPrompts, type NdArray } from 'pentimento';
import type { Sentences } from './write-prompts.ts';

export interface Averages {
  readonly sourceEmbeds: NdArray; // [1, 77, D]
  readonly targetEmbeds: NdArray;
}

export async function averageEmbeddings(pipeline: DiffEditPipeline, sentences: Sentences): Promise<Averages> {
  return {
    sourceEmbeds: await embedPrompts(pipeline, sentences.source),
    targetEmbeds: await embedPrompts(pipeline, sentences.target),
  };
}
