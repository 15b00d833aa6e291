import { readFileSync } from 'node:fs';
import { goldenPath } from './checkpoint.ts';
import { loadGolden } from './golden.ts';

/** What the peer made of the guide's scene: embeddings, mask, inversion, picture. */
export const golden = loadGolden('orchard/guide');

/** The scene: concepts, seed, and the picture's name in the samples. */
export const scene: { source: string; target: string; seed: number; image: string } = golden.json.guide;

/** Every text that the peer's models wrote. */
export const texts: {
  captions: Record<string, Record<string, { ids: number[]; text: string }>>;
  prompts: Record<string, Record<string, { input_ids: number[]; ids: number[][]; texts: string[] }>>;
  greedy: Record<string, string>;
} = JSON.parse(readFileSync(goldenPath('orchard/text.json'), 'utf8'));

/** Sentences by concept, drawn from one stream with the scene's seed. */
export const written = texts.prompts[`${scene.source} to ${scene.target}, seed ${scene.seed}`];

/** The caption of the scene's picture, with the guide's prefix. */
export const caption = texts.captions[scene.image]['a photograph of'].text;
