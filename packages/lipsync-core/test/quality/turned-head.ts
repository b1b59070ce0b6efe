import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { createFaceDetector } from '../../src/face/index.ts';
import { regionOfBox } from '../../src/face/face-regions.ts';
import { framesPerSecond, openFrames, probeClip } from '../../src/media/index.ts';
import { limits } from '../media/make-media.ts';
import type { TakeMaker } from './take-fixture.ts';

/** Outline of the face mesh, clockwise from the top of the forehead. */
const outline = [
  10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136,
  172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
] as const;
/** Points of the mesh without the irises. */
const meshPoints = 468;
/**
 * Rings behind the outline that close the head: width relative to the outline, distance behind it in widths of the
 * face, and where their pixels are in the picture: in the hair, at the ears and at the neck.
 */
const rings = [
  { width: 1.06, behind: 0.08, texture: 1.08 },
  { width: 1.15, behind: 0.25, texture: 1.16 },
  { width: 1.12, behind: 0.45, texture: 1.22 },
  { width: 0.85, behind: 0.62, texture: 1.22 },
  { width: 0.01, behind: 0.7, texture: 1.22 },
] as const;

interface Picture {
  readonly rgb: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** A corner of a triangle: its position in space, and the position of its color in the picture of the clip. */
interface Vertex {
  readonly x: number;
  readonly y: number;
  readonly z: number;
  readonly u: number;
  readonly v: number;
}

type Triangle = readonly [number, number, number];

/**
 * Films the head of a clip from the side: its landmarks with their depth, closed at the back, as a textured mesh that
 * is turned about the vertical axis. Returns the path of the silent video, which has at most `seconds`.
 */
export async function filmTurnedHead(
  maker: TakeMaker,
  clipPath: string,
  { yawDegrees, seconds }: { readonly yawDegrees: number; readonly seconds: number },
): Promise<string> {
  const facts = await probeClip(clipPath, { limits });
  const { width, height } = facts;
  const rate = framesPerSecond(facts.frameRate);
  const range = { start: 0, end: Math.min(facts.frameCount, Math.round(seconds * rate)) };
  const detector = await createFaceDetector();
  const rawPath = join(maker.folder, `turned-${yawDegrees}.rgb`);
  const raw = await open(rawPath, 'w');
  try {
    let triangles: readonly Triangle[] | undefined;
    for await (const { data } of openFrames({ path: clipPath, facts, range, pixelFormat: 'rgb24' })) {
      const [box] = await detector.detect(data, width, height);
      const mesh = box && (await detector.mesh(data, width, height, regionOfBox(box)));
      if (!mesh) throw new Error('The clip shows no face.');
      const vertices = headOf(mesh.points);
      triangles ??= triangulate(vertices);
      await raw.write(paint({ rgb: data, width, height }, turn(vertices, yawDegrees), triangles));
    }
  } finally {
    await raw.close();
    await detector.close();
  }
  const input = ['-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', `${width}x${height}`, '-r', String(rate), '-i', rawPath];
  return maker.ffmpeg(
    ...input,
    '-pix_fmt',
    'yuv420p',
    '-crf',
    '16',
    '-preset',
    'ultrafast',
    `turned-${yawDegrees}.mp4`,
  );
}

function headOf(points: Float32Array): readonly Vertex[] {
  const at = (index: number): Vertex => {
    const [x = 0, y = 0, z = 0] = points.subarray(index * 3, index * 3 + 3);
    return { x, y, z, u: x, v: y };
  };
  const face = Array.from({ length: meshPoints }, (_, index) => at(index));
  const edge = outline.map(at);
  const mean = (key: 'x' | 'y'): number => edge.reduce((sum, vertex) => sum + vertex[key], 0) / edge.length;
  const [x, y] = [mean('x'), mean('y')];
  const faceWidth = Math.max(...edge.map((vertex) => vertex.x)) - Math.min(...edge.map((vertex) => vertex.x));
  const back = rings.flatMap(({ width, behind, texture }) =>
    edge.map((vertex) => ({
      x: x + (vertex.x - x) * width,
      y: y + (vertex.y - y) * width,
      z: vertex.z + behind * faceWidth,
      u: x + (vertex.x - x) * texture,
      v: y + (vertex.y - y) * texture,
    })),
  );
  return [...face, ...back];
}

/** Turns the head about the vertical axis through its middle, which stays where it is in the picture. */
function turn(vertices: readonly Vertex[], yawDegrees: number): readonly Vertex[] {
  const [sine, cosine] = [Math.sin((yawDegrees * Math.PI) / 180), Math.cos((yawDegrees * Math.PI) / 180)];
  const middle = (values: readonly number[]): number => (Math.min(...values) + Math.max(...values)) / 2;
  const [x, z] = [middle(vertices.map((vertex) => vertex.x)), middle(vertices.map((vertex) => vertex.z))];
  return vertices.map((vertex) => ({
    ...vertex,
    x: x + (vertex.x - x) * cosine + (vertex.z - z) * sine,
    z: (vertex.z - z) * cosine - (vertex.x - x) * sine,
  }));
}

/** Triangles between the landmarks (Delaunay, by Bowyer and Watson), and strips between the rings of the head. */
function triangulate(vertices: readonly Vertex[]): readonly Triangle[] {
  const far = 1e5;
  const points = [...vertices.slice(0, meshPoints), { x: -far, y: -far }, { x: far, y: -far }, { x: 0, y: far }];
  let triangles: Triangle[] = [[meshPoints, meshPoints + 1, meshPoints + 2]];
  for (let point = 0; point < meshPoints; point += 1) {
    const broken = triangles.filter((triangle) => isInCircle(points, triangle, point));
    const edges = broken.flatMap(([a, b, c]): [number, number][] => [
      [a, b],
      [b, c],
      [c, a],
    ]);
    const border = edges.filter(([a, b]) => !edges.some(([c, d]) => c === b && d === a));
    triangles = triangles.filter((triangle) => !broken.includes(triangle));
    triangles.push(...border.map(([a, b]): Triangle => [a, b, point]));
  }
  const face = triangles.filter((triangle) => triangle.every((point) => point < meshPoints));
  const count = outline.length;
  const strips = rings.flatMap((_, ring) =>
    outline.flatMap((landmark, index): Triangle[] => {
      const next = (index + 1) % count;
      const inner = (at: number, own: number): number => (ring === 0 ? own : meshPoints + (ring - 1) * count + at);
      const outer = (at: number): number => meshPoints + ring * count + at;
      const [a, b] = [inner(index, landmark), inner(next, outline[next] ?? 0)];
      return [
        [a, b, outer(index)],
        [b, outer(next), outer(index)],
      ];
    }),
  );
  return [...face, ...strips];
}

function isInCircle(points: readonly { readonly x: number; readonly y: number }[], corners: Triangle, point: number) {
  const { x = 0, y = 0 } = points[point] ?? {};
  const [a, b, c] = corners.map((corner) => {
    const dx = (points[corner]?.x ?? 0) - x;
    const dy = (points[corner]?.y ?? 0) - y;
    return [dx, dy, dx * dx + dy * dy] as const;
  });
  if (!a || !b || !c) return false;
  const determinant =
    a[0] * (b[1] * c[2] - c[1] * b[2]) - a[1] * (b[0] * c[2] - c[0] * b[2]) + a[2] * (b[0] * c[1] - c[0] * b[1]);
  const turn = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
  return determinant * Math.sign(turn) > 0;
}

/** Draws the triangles over a plain background; the nearest one is visible in each pixel. */
function paint(clip: Picture, vertices: readonly Vertex[], triangles: readonly Triangle[]): Uint8Array {
  const { width, height } = clip;
  const rgb = new Uint8Array(clip.rgb.length);
  for (let index = 0; index < rgb.length; index += 1) rgb[index] = clip.rgb[index % 3] ?? 0;
  const depth = new Float32Array(width * height).fill(Infinity);
  for (const corners of triangles) {
    const [a, b, c] = corners.map((corner) => vertices[corner]);
    if (!a || !b || !c) continue;
    const area = (b.x - a.x) * (c.y - a.y) - (c.x - a.x) * (b.y - a.y);
    if (Math.abs(area) < 1e-6) continue;
    const [left, right] = [
      Math.max(0, Math.ceil(Math.min(a.x, b.x, c.x))),
      Math.min(width - 1, Math.max(a.x, b.x, c.x)),
    ];
    const [top, bottom] = [
      Math.max(0, Math.ceil(Math.min(a.y, b.y, c.y))),
      Math.min(height - 1, Math.max(a.y, b.y, c.y)),
    ];
    for (let y = top; y <= bottom; y += 1)
      for (let x = left; x <= right; x += 1) {
        const ofB = ((x - a.x) * (c.y - a.y) - (c.x - a.x) * (y - a.y)) / area;
        const ofC = ((b.x - a.x) * (y - a.y) - (x - a.x) * (b.y - a.y)) / area;
        const ofA = 1 - ofB - ofC;
        if (ofA < 0 || ofB < 0 || ofC < 0) continue;
        const z = ofA * a.z + ofB * b.z + ofC * c.z;
        if (z >= (depth[y * width + x] ?? 0)) continue;
        depth[y * width + x] = z;
        copyColor(clip, ofA * a.u + ofB * b.u + ofC * c.u, ofA * a.v + ofB * b.v + ofC * c.v, rgb, (y * width + x) * 3);
      }
  }
  return rgb;
}

/** Interpolates the color at a position of a picture. */
function copyColor({ rgb, width, height }: Picture, u: number, v: number, target: Uint8Array, index: number): void {
  const x = Math.min(width - 1.001, Math.max(0, u));
  const y = Math.min(height - 1.001, Math.max(0, v));
  const [right, down] = [x % 1, y % 1];
  const start = (Math.floor(y) * width + Math.floor(x)) * 3;
  for (let channel = start; channel < start + 3; channel += 1) {
    const upper = (rgb[channel] ?? 0) * (1 - right) + (rgb[channel + 3] ?? 0) * right;
    const lower = (rgb[channel + width * 3] ?? 0) * (1 - right) + (rgb[channel + width * 3 + 3] ?? 0) * right;
    target[index + channel - start] = upper * (1 - down) + lower * down;
  }
}
