/** Sixteen sentences about each of two concepts. */
import { Generator, generatePrompts, type T5ForConditionalGeneration } from 'pentimento';

export interface Sentences {
  readonly source: readonly string[];
  readonly target: readonly string[];
}

/** `generatePrompts` asks "Provide a caption for images containing a bowl. " with the guide's settings. */
export async function writePrompts(
  languageModel: T5ForConditionalGeneration,
  sourceConcept = 'bowl',
  targetConcept = 'basket',
): Promise<Sentences> {
  const generator = new Generator(0); // torch.manual_seed(0)
  const source = await generatePrompts(languageModel, sourceConcept, { generator });
  const target = await generatePrompts(languageModel, targetConcept, { generator });
  return { source, target };
}
