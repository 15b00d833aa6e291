/** Drawn scenes before and after a change, with the region that really differs: read from a folder, turned into more of them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RgbImage } from '../../src/io/image.ts';
import { readImage } from '../../src/node/images.ts';

/** One case: what the picture shows, what it shall show, and what a perfect edit looks like where that was drawn. */
export interface Scene {
  readonly id: string;
  readonly change: 'fruit' | 'container';
  readonly sourcePrompt: string;
  readonly targetPrompt: string;
  /** The words that a caption of a good edit has. */
  readonly fruit: string;
  readonly container: string;
  readonly source: RgbImage;
  readonly truth?: RgbImage;
  /** 1 where source and truth differ, a byte a pixel. */
  readonly region?: Uint8Array;
}

/** A case with its drawn result. */
export type DrawnScene = Scene & Required<Pick<Scene, 'truth' | 'region'>>;

const WORDS = ['id', 'change', 'sourcePrompt', 'targetPrompt', 'fruit', 'container'] as const;

/**
 * Reads a folder of scenes: cases.json, and for each id ID-source.png, ID-truth.png and ID-region.png (white where they differ).
 * @param count the first so many; all by default
 * @throws Error naming the file and the field that is not as it should be
 */
export async function readScenes(folder: string, count: number = Number.POSITIVE_INFINITY): Promise<DrawnScene[]> {
  const path = join(folder, 'cases.json');
  const cases: unknown = JSON.parse(await readFile(path, 'utf8'));
  if (!Array.isArray(cases) || cases.length === 0) throw new Error(`${path}: not a list of cases`);
  const scenes: DrawnScene[] = [];
  for (const [i, entry] of cases.slice(0, count).entries())
    scenes.push(await readScene(folder, entry, `${path}[${i}]`));
  return scenes;
}

async function readScene(folder: string, entry: Record<string, unknown>, where: string): Promise<DrawnScene> {
  for (const word of WORDS) {
    if (typeof entry?.[word] !== 'string' || entry[word] === '') throw new Error(`${where}.${word}: not a text`);
  }
  const { id, change, sourcePrompt, targetPrompt, fruit, container } = entry as Record<(typeof WORDS)[number], string>;
  if (change !== 'fruit' && change !== 'container') throw new Error(`${where}.change: neither fruit nor container`);
  const part = (name: string): Promise<RgbImage> => readImage(join(folder, `${id}-${name}.png`));
  const [source, truth, white] = await Promise.all([part('source'), part('truth'), part('region')]);
  for (const other of [truth, white]) {
    if (other.width !== source.width || other.height !== source.height) {
      throw new Error(`${where}: pictures of ${id} differ in size`);
    }
  }
  const region = Uint8Array.from({ length: source.width * source.height }, (_, i) => Number(white.data[3 * i]! > 127));
  if (!region.includes(1) || !region.includes(0)) throw new Error(`${where}: ${id}-region.png is of one colour`);
  return { id, change, sourcePrompt, targetPrompt, fruit, container, source, truth, region };
}

/** The scenes of these ids, in the order of the ids. @throws Error naming an id that no scene has, and those that there are, or one that is there twice */
export function chosenScenes(scenes: readonly Scene[], ids: readonly string[]): Scene[] {
  const twice = ids.find((id, i) => ids.indexOf(id) < i);
  if (twice !== undefined) throw new Error(`scene "${twice}" is chosen twice, and would count twice`);
  return ids.map(id => {
    const found = scenes.find(scene => scene.id === id);
    if (found) return found;
    throw new Error(`no scene is called "${id}"; there are ${scenes.map(scene => scene.id).join(', ')}`);
  });
}

/**
 * Container swaps made of others: each backwards (the drawn result becomes the picture), each backwards and mirrored, each mirrored.
 * They are hard, since the mask must cover the old shape and the new one.
 */
export function containerSwaps(scenes: readonly DrawnScene[]): DrawnScene[] {
  const swaps = scenes.filter(({ change }) => change === 'container');
  const backwards = swaps.map(exchanged);
  return [...backwards, ...backwards.map(mirrored), ...swaps.map(mirrored)];
}

function exchanged(scene: DrawnScene): DrawnScene {
  const { id, sourcePrompt, targetPrompt, source, truth } = scene;
  const { container } = named(sourcePrompt, id);
  const turned = { sourcePrompt: targetPrompt, targetPrompt: sourcePrompt, source: truth, truth: source };
  return { ...scene, ...turned, id: `${id}-back`, container };
}

function mirrored(scene: DrawnScene): DrawnScene {
  const { id, source, truth, region } = scene;
  const { width } = source;
  const flip = <T extends Uint8Array | Uint8ClampedArray>(data: T, channels: number): Uint8Array =>
    Uint8Array.from({ length: data.length }, (_, i) => {
      const pixel = Math.floor(i / channels);
      const column = pixel % width;
      return data[channels * (pixel - column + (width - 1 - column)) + (i % channels)]!;
    });
  const picture = (image: RgbImage): RgbImage => ({ ...image, data: flip(image.data, 3) });
  return { ...scene, id: `${id}-mirrored`, source: picture(source), truth: picture(truth), region: flip(region, 1) };
}

/**
 * Swaps made of the pictures of others, drawn results among them: of every picture in turn the fruit or the container becomes
 * the next one of those that the scenes name. Nobody drew what they should give. Changes that the scenes have already, either way,
 * are left out, and so is what changes nothing, where the scenes name one fruit or one container.
 */
export function otherSwaps(scenes: readonly DrawnScene[]): Scene[] {
  const pictures = scenes.flatMap(({ id, sourcePrompt, targetPrompt, source, truth }) => [
    { id: `${id}-before`, prompt: sourcePrompt, not: targetPrompt, source },
    { id: `${id}-after`, prompt: targetPrompt, not: sourcePrompt, source: truth },
  ]);
  const names = pictures.map(({ id, prompt }) => named(prompt, id));
  const known = { fruit: distinct(names.map(n => n.fruit)), container: distinct(names.map(n => n.container)) };
  return pictures.flatMap(({ id, prompt, not, source }, i) => {
    const change = i % 4 === 0 || i % 4 === 3 ? 'fruit' : 'container';
    const from = named(prompt, id);
    const to = { ...from, [change]: following(known[change], from[change]) };
    const targetPrompt = `a ${to.container} of ${to.fruit}`;
    return targetPrompt === not || targetPrompt === prompt
      ? []
      : [{ id, change, sourcePrompt: prompt, targetPrompt, ...to, source }];
  });
}

/** What a prompt such as "a bowl of green apples" names. */
function named(prompt: string, id: string): Pick<Scene, 'fruit' | 'container'> {
  const [, container, fruit] = /^an? (\w+) of (.+)$/.exec(prompt) ?? [];
  if (container === undefined || fruit === undefined) throw new Error(`${id}: "${prompt}" names no container`);
  return { container, fruit };
}

function distinct(words: readonly string[]): string[] {
  return [...new Set(words)];
}

/** The word behind another, the first behind the last. */
function following(words: readonly string[], word: string): string {
  return words[(words.indexOf(word) + 1) % words.length] ?? word;
}
