/** Where the numbers of points stand, so that none lies on another, on a point, or outside: tried in a fixed order, the nearest first. */

/** A rectangle by its middle. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Directions that are tried, the ones that people expect first. */
const DIRECTIONS = [-90, 0, -45, 180, 90, 45, -135, 135, -67, -22, 22, 67, 112, 157, -112, -157];
const [FIRST, STEP, FURTHEST] = [13, 4, 120];

/**
 * A box for each point.
 * @param taken what is there already: points, words
 * @param avoided lines, which a box may cover where there is no room elsewhere
 * @param within where boxes may be
 */
export function placeLabels(
  points: readonly { readonly x: number; readonly y: number; readonly width: number }[],
  height: number,
  taken: readonly Box[],
  avoided: readonly Box[],
  within: Box,
): Box[] {
  const placed: Box[] = [];
  for (const { x, y, width } of points) {
    const free = candidates(x, y, width, height).filter(
      box => inside(box, within) && ![...taken, ...placed].some(other => touches(box, other)),
    );
    const found = free.find(box => !avoided.some(other => touches(box, other)));
    placed.push(found ?? free[0] ?? { x, y: y - FIRST, width, height });
  }
  return placed;
}

function candidates(x: number, y: number, width: number, height: number): Box[] {
  const all: Box[] = [];
  for (let far = FIRST; far <= FURTHEST; far += STEP) {
    for (const degrees of DIRECTIONS) {
      const angle = (degrees * Math.PI) / 180;
      all.push({ x: x + far * Math.cos(angle), y: y + far * Math.sin(angle), width, height });
    }
  }
  return all;
}

/** Whether two boxes have a place in common. */
export function touches(a: Box, b: Box): boolean {
  return Math.abs(a.x - b.x) * 2 < a.width + b.width && Math.abs(a.y - b.y) * 2 < a.height + b.height;
}

function inside(box: Box, within: Box): boolean {
  return (
    Math.abs(box.x - within.x) * 2 <= within.width - box.width &&
    Math.abs(box.y - within.y) * 2 <= within.height - box.height
  );
}

/** Heights moved apart until each is `gap` from the next, in their order, within the limits. */
export function spreadOut(heights: readonly number[], gap: number, least: number, most: number): number[] {
  const order = heights.map((_, i) => i).sort((a, b) => (heights[a] ?? 0) - (heights[b] ?? 0) || a - b);
  const moved = [...heights];
  let next = least;
  for (const i of order) {
    next = Math.max(next, moved[i] ?? 0);
    moved[i] = next;
    next += gap;
  }
  let last = most;
  for (const i of [...order].reverse()) {
    last = Math.min(last, moved[i] ?? 0);
    moved[i] = last;
    last -= gap;
  }
  return moved;
}
