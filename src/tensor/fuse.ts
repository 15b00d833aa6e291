/** Fusion: a recording in, fewer nodes out. Merged nodes are new ones; the recorded stay as they are. */
import type { Recording } from './recording.ts';
import type { Node, Value } from './tensor.ts';

/**
 * Drops nodes whose results nobody reads, and, when asked, lets producers absorb their only consumer (an activation, a
 * residual, a time embedding) and consumers swallow their only producer (an upsampling).
 *
 * @returns the nodes to lower, in an order in which every input is written before it is read
 */
export function rewrite(recording: Recording, fuse: boolean): readonly Node[] {
  const stored: ReadonlySet<Value> = new Set(recording.stores.map(s => s.tensor.value));
  let nodes = live(recording.nodes, stored);
  if (!fuse) return nodes;
  for (let next = fusePass(nodes, stored); next; next = fusePass(nodes, stored)) nodes = live(next, stored);
  return nodes;
}

/** Nodes that a store or an effect depends on, in recorded order. */
function live(nodes: readonly Node[], stored: ReadonlySet<Value>): readonly Node[] {
  const wanted = new Set<Value>(stored);
  const kept: Node[] = [];
  for (const node of nodes.toReversed()) {
    if (node.output && !wanted.has(node.output.value)) continue;
    for (const input of node.inputs()) wanted.add(input.value);
    kept.push(node);
  }
  return kept.reverse();
}

/**
 * Merges neighbouring nodes once each; undefined when nothing was left to merge. The last first: of two producers that could
 * absorb their consumer the later one does, so that the other stays where it was recorded.
 */
function fusePass(nodes: readonly Node[], stored: ReadonlySet<Value>): readonly Node[] | undefined {
  const uses = usesOf(nodes);
  const effects = effectsBefore(nodes);
  const merged: (Node | undefined)[] = [...nodes];
  const touched = new Set<Node>();
  for (const [at, node] of [...nodes.entries()].reverse()) {
    const value = node.output?.value;
    if (!value || touched.has(node) || stored.has(value)) continue;
    const [to, ...others] = uses.get(value) ?? [];
    const consumer = to === undefined ? undefined : nodes[to];
    if (to === undefined || !consumer || others.length > 0 || touched.has(consumer)) continue;
    if (!readsWhole(consumer, value)) continue;
    if (effects[to] !== effects[at]) continue; // an effect between could change an input
    const both = node.absorb?.(consumer) ?? consumer.swallow?.(node);
    if (!both) continue;
    merged[at] = undefined;
    merged[to] = both;
    touched.add(node).add(consumer);
  }
  return touched.size === 0 ? undefined : merged.filter(n => n !== undefined);
}

/** Whether a node reads all rows of a value: the producer of a view writes more than the view's consumer would. */
function readsWhole(node: Node, value: Value): boolean {
  const views = node.inputs().filter(t => t.value === value);
  return views.every(t => t.rowOffset === 0 && t.rows === value.layout.rows);
}

/** Indices of the nodes that read each value. */
function usesOf(nodes: readonly Node[]): Map<Value, number[]> {
  const uses = new Map<Value, number[]>();
  nodes.forEach((node, i) => {
    for (const value of new Set(node.inputs().map(t => t.value))) {
      const known = uses.get(value);
      if (known) known.push(i);
      else uses.set(value, [i]);
    }
  });
  return uses;
}

/** How many nodes without an output come before each node. */
function effectsBefore(nodes: readonly Node[]): readonly number[] {
  let count = 0;
  return nodes.map(node => (node.output ? count : count++));
}
