/** What the studio does by itself: masks between finding and editing, files of settings, colours of previews. */
import { expect, it } from 'vitest';
import { Mask, UNTOUCHED } from '../../site/studio/src/mask.ts';
import { type Asked, readSettings, writeSettings } from '../../site/studio/src/settings-file.ts';
import { SETTINGS } from '../../site/studio/src/settings-table.ts';
import type { RecommendedName } from '../../src/pipeline/diffedit/recommended.ts';

const MAP = [0, 0.2, 0.5, 0.6, 0.9, 1, 0.1, 0, 0];
const valuesOf = (mask: Mask) => Array.from(mask.values().data, v => Math.round(100 * v) / 100);

it('cuts a binary mask above its level, as diffusers does at a half, and scales a soft one', () => {
  const binary = new Mask(MAP, 3, 3, false);
  expect(valuesOf(binary)).toEqual([0, 0, 0, 1, 1, 1, 0, 0, 0]);
  binary.adjustments = { ...UNTOUCHED, level: 0.15 };
  expect(valuesOf(binary)).toEqual([0, 1, 1, 1, 1, 1, 0, 0, 0]);
  const soft = new Mask(MAP, 3, 3, true);
  expect(valuesOf(soft)).toEqual(MAP);
  soft.adjustments = { ...UNTOUCHED, level: 0.25 };
  expect(valuesOf(soft)).toEqual([0, 0.4, 1, 1, 1, 1, 0.2, 0, 0]);
});

it('grows, shrinks and softens what was found', () => {
  const dot = new Mask([0, 0, 0, 0, 1, 0, 0, 0, 0], 3, 3, false);
  dot.adjustments = { ...UNTOUCHED, grow: 1 };
  expect(valuesOf(dot)).toEqual(new Array(9).fill(1));
  dot.adjustments = { ...UNTOUCHED, grow: -1 };
  expect(valuesOf(dot)).toEqual(new Array(9).fill(0));
  dot.adjustments = { ...UNTOUCHED, soften: 1 };
  const [corner, edge, , , middle] = valuesOf(dot);
  expect(middle).toBeGreaterThan(edge);
  expect(edge).toBeGreaterThan(corner);
});

it('keeps paint above every adjustment, and takes it back stroke by stroke', () => {
  const mask = new Mask(MAP, 3, 3, false);
  mask.begin();
  mask.line([0.5, 0.5], [2.5, 0.5], 0.5, 1);
  mask.begin();
  mask.stamp(1.5, 1.5, 0.5, 0);
  expect(valuesOf(mask)).toEqual([1, 1, 1, 1, 0, 1, 0, 0, 0]);
  mask.adjustments = { ...UNTOUCHED, grow: 2 };
  expect(valuesOf(mask)[4]).toBe(0);
  mask.adjustments = UNTOUCHED;
  mask.undo();
  expect(valuesOf(mask)).toEqual([1, 1, 1, 1, 1, 1, 0, 0, 0]);
  mask.clear();
  expect(valuesOf(mask)).toEqual([0, 0, 0, 1, 1, 1, 0, 0, 0]);
  mask.undo();
  mask.undo();
  expect([valuesOf(mask), mask.undoable]).toEqual([[0, 0, 0, 1, 1, 1, 0, 0, 0], false]);
});

const ASKED: Asked = {
  sourcePrompt: 'a bowl of apples',
  targetPrompt: 'a bowl of pears',
  negativePrompt: '',
  seed: 7,
  fit: 'crop',
  crop: { x: 0.25, y: 0.5, size: 0.8 },
  settings: { maskMode: 'soft', numInferenceSteps: 20, guidanceInterval: [0.2, 1], maskCleanup: true },
  mask: { level: 0.4, grow: -1, soften: 0.5 },
};

it('reads what it wrote, with its version', () => {
  const text = writeSettings(ASKED, 'orchard');
  expect(JSON.parse(text)).toMatchObject({ version: 1, model: 'orchard' });
  expect(readSettings(text)).toEqual(ASKED);
});

it.each([
  ['{', /no JSON/],
  ['[]', /no settings/],
  ['{"version":2}', /version is 2/],
  [JSON.stringify({ version: 1, ...ASKED, seed: -1 }), /^seed: -1 is no number/],
  [JSON.stringify({ version: 1, ...ASKED, seed: 1.5 }), /^seed: 1.5 is no whole number/],
  [JSON.stringify({ version: 1, ...ASKED, settings: { numMapsPerMask: 2.5 } }), /numMapsPerMask: 2.5 is no whole/],
  [JSON.stringify({ version: 1, ...ASKED, targetPrompt: 3 }), /^targetPrompt: 3 is no text/],
  [JSON.stringify({ version: 1, ...ASKED, settings: { eta: 2 } }), /^settings.eta: 2 is no number from 0 to 1/],
  [JSON.stringify({ version: 1, ...ASKED, settings: { image: 1 } }), /^settings.image: this page has no such setting/],
  [JSON.stringify({ version: 1, ...ASKED, settings: { maskMode: 'x' } }), /^settings.maskMode: "x" is none of/],
  [JSON.stringify({ version: 1, ...ASKED, mask: { grow: 99 } }), /^mask.grow: 99 is no number/],
])('refuses %s, and says where', (text, message) => expect(() => readSettings(text)).toThrow(message));

it('has every setting that a model may recommend but those that its own mask takes over', () => {
  // By the type, so that a new one is missed neither here nor there.
  const all: Record<RecommendedName, 1> = {
    ...{ numMapsPerMask: 1, maskEncodeStrength: 1, maskThresholdingRatio: 1, maskGuidanceScale: 1, threshold: 1 },
    ...{ continuous: 1, maskMode: 1, maskExponent: 1, maskCleanup: 1, erode: 1, dilate: 1, blur: 1, clipSkip: 1 },
    ...{ invertGuidanceScale: 1, numInferenceSteps: 1, guidanceScale: 1, guidanceInterval: 1, guidanceRescale: 1 },
    ...{ inpaintStrength: 1, lambdaAutoCorr: 1, lambdaKl: 1, numRegSteps: 1, numAutoCorrRolls: 1, inversion: 1 },
    ...{ inversionRounds: 1, eta: 1 },
  };
  const missing = Object.keys(all).filter(name => !SETTINGS.some(one => one.name === name));
  expect(missing.sort()).toEqual(['continuous', 'threshold']);
});
