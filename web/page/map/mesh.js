// From a map to the surface at a level: surface nets (Gibson 1998). One vertex in each cell that the surface passes, begun at the mean of its
// crossings with the cell's edges and moved onto the level of the interpolated map; one quad for each crossed edge between two voxels.
// Normals are minus the density's gradient.

const EDGES = Int8Array.from([0, 1, 0, 2, 0, 4, 1, 3, 1, 5, 2, 3, 2, 6, 3, 7, 4, 5, 4, 6, 5, 7, 6, 7]);
const STEPS = 4;

// data: Float32Array, x fastest; shape: [nz, ny, nx]. Returns positions and normals in voxels (x, y, z) and triangles, seen from outside counter-clockwise.
export function surface(data, [nz, ny, nx], level) {
  const slab = nx * ny;
  const inside = new Uint8Array(data.length);
  const filled = new Uint32Array(nz * ny); // voxels of each row that lie inside: rows with none, or with all, have no surface between them
  for (let row = 0, at = 0; row < filled.length; row += 1) {
    let n = 0;
    for (let x = 0; x < nx; x += 1, at += 1) if (data[at] > level) { inside[at] = 1; n += 1; }
    filled[row] = n;
  }
  const cells = [new Int32Array(slab), new Int32Array(slab)];
  let positions = new Float32Array(3 * 65536);
  let vertices = 0;
  let triangles = new Uint32Array(3 * 131072);
  let corners = 0;
  const value = new Float64Array(8);
  const place = new Float64Array(3);
  const quad = (a, b, c, d) => {
    if (a < 0 || b < 0 || c < 0 || d < 0) return;
    if (corners + 6 > triangles.length) { const grown = new Uint32Array(triangles.length * 2); grown.set(triangles); triangles = grown; }
    triangles[corners++] = a; triangles[corners++] = b; triangles[corners++] = c;
    triangles[corners++] = a; triangles[corners++] = c; triangles[corners++] = d;
  };
  for (let z = 0; z < nz - 1; z += 1) {
    const here = cells[z & 1]; const below = cells[(z + 1) & 1];
    here.fill(-1);
    for (let y = 0; y < ny - 1; y += 1) {
      const row = z * ny + y;
      const sum = filled[row] + filled[row + 1] + filled[row + ny] + filled[row + ny + 1];
      if (sum === 0 || sum === 4 * nx) continue;
      const begin = row * nx;
      // The four voxels on the left of a cell, as bits; those on its right are on the left of the next.
      let left = inside[begin] | (inside[begin + nx] << 2) | (inside[begin + slab] << 4) | (inside[begin + nx + slab] << 6);
      for (let x = 0; x < nx - 1; x += 1) {
        const at = begin + x;
        const right = inside[at + 1] | (inside[at + 1 + nx] << 2) | (inside[at + 1 + slab] << 4) | (inside[at + 1 + nx + slab] << 6);
        const mask = left | (right << 1);
        left = right;
        if (mask === 0 || mask === 255) continue;
        for (let corner = 0; corner < 8; corner += 1) value[corner] = data[at + (corner & 1) + ((corner >> 1) & 1) * nx + (corner >> 2) * slab];
        settle(value, mask, level, place, data, at, x, y, z, nx, ny, nz);
        if (3 * vertices + 3 > positions.length) { const grown = new Float32Array(positions.length * 2); grown.set(positions); positions = grown; }
        positions[3 * vertices] = x + place[0]; positions[3 * vertices + 1] = y + place[1]; positions[3 * vertices + 2] = z + place[2];
        const cell = y * nx + x;
        here[cell] = vertices;
        vertices += 1;
        // The three edges that leave the cell's first corner; each is shared with three earlier cells.
        const first = (mask & 1) === 1;
        if (first !== Boolean(mask & 2) && y > 0 && z > 0) { const [a, b, c, d] = [here[cell], here[cell - nx], below[cell - nx], below[cell]]; if (first) quad(a, b, c, d); else quad(a, d, c, b); }
        if (first !== Boolean(mask & 4) && x > 0 && z > 0) { const [a, b, c, d] = [here[cell], below[cell], below[cell - 1], here[cell - 1]]; if (first) quad(a, b, c, d); else quad(a, d, c, b); }
        if (first !== Boolean(mask & 16) && x > 0 && y > 0) { const [a, b, c, d] = [here[cell], here[cell - 1], here[cell - 1 - nx], here[cell - nx]]; if (first) quad(a, b, c, d); else quad(a, d, c, b); }
      }
    }
  }
  positions = positions.slice(0, 3 * vertices);
  return { positions, normals: normalsOf(data, [nz, ny, nx], positions), triangles: triangles.slice(0, corners) };
}

// The second difference of a map along an axis at a voxel; none at its edges.
const bend = (data, at, i, n, step) => (i > 0 && i < n - 1 ? data[at - step] - 2 * data[at] + data[at + step] : 0);

// Where a cell's vertex lies, 0 to 1 along each axis: from the mean of the crossings by Newton's steps along the gradient onto the level.
// The map between voxels is the trilinear one less its error of second order, t (1 - t) / 2 times the second difference along each axis: without
// that, and with the mean of the crossings alone, convex surfaces come out some hundredths of a voxel to a tenth too small.
function settle(value, mask, level, place, data, at, i, j, k, nx, ny, nz) {
  let x = 0; let y = 0; let z = 0; let n = 0;
  for (let edge = 0; edge < 24; edge += 2) {
    const a = EDGES[edge]; const b = EDGES[edge + 1];
    if (((mask >> a) & 1) === ((mask >> b) & 1)) continue;
    const t = (level - value[a]) / (value[b] - value[a]);
    x += (a & 1) + t * ((b & 1) - (a & 1));
    y += ((a >> 1) & 1) + t * (((b >> 1) & 1) - ((a >> 1) & 1));
    z += (a >> 2) + t * ((b >> 2) - (a >> 2));
    n += 1;
  }
  x /= n; y /= n; z /= n;
  const di = x > 0.5 ? 1 : 0; const dj = y > 0.5 ? 1 : 0; const dk = z > 0.5 ? 1 : 0;
  const near = at + di + dj * nx + dk * nx * ny;
  const bx = bend(data, near, i + di, nx, 1) / 2; const by = bend(data, near, j + dj, ny, nx) / 2; const bz = bend(data, near, k + dk, nz, nx * ny) / 2;
  let least = Infinity;
  for (let step = 0; step < STEPS; step += 1) {
    const v0 = value[0]; const v1 = value[1]; const v2 = value[2]; const v3 = value[3]; const v4 = value[4]; const v5 = value[5]; const v6 = value[6]; const v7 = value[7];
    const p0 = v0 + x * (v1 - v0); const p1 = v2 + x * (v3 - v2); const p2 = v4 + x * (v5 - v4); const p3 = v6 + x * (v7 - v6);
    const q0 = p0 + y * (p1 - p0); const q1 = p2 + y * (p3 - p2);
    const off = level - (q0 + z * (q1 - q0)) + x * (1 - x) * bx + y * (1 - y) * by + z * (1 - z) * bz;
    if (Math.abs(off) >= least) break;
    least = Math.abs(off);
    place[0] = x; place[1] = y; place[2] = z;
    const gz = q1 - q0;
    const gy = (p1 - p0) + z * (p3 - p2 - p1 + p0);
    const gx = (v1 - v0) * (1 - y) * (1 - z) + (v3 - v2) * y * (1 - z) + (v5 - v4) * (1 - y) * z + (v7 - v6) * y * z;
    const size = gx * gx + gy * gy + gz * gz;
    if (size === 0) break;
    x = Math.min(1, Math.max(0, x + (off * gx) / size)); y = Math.min(1, Math.max(0, y + (off * gy) / size)); z = Math.min(1, Math.max(0, z + (off * gz) / size));
  }
}

// The value of a map between voxels.
export function sample(data, [nz, ny, nx], x, y, z) {
  const cx = Math.min(nx - 1.000001, Math.max(0, x)); const cy = Math.min(ny - 1.000001, Math.max(0, y)); const cz = Math.min(nz - 1.000001, Math.max(0, z));
  const ix = Math.floor(cx); const iy = Math.floor(cy); const iz = Math.floor(cz);
  const fx = cx - ix; const fy = cy - iy; const fz = cz - iz;
  const a = (iz * ny + iy) * nx + ix; const b = a + nx * ny;
  const near = (data[a] * (1 - fx) + data[a + 1] * fx) * (1 - fy) + (data[a + nx] * (1 - fx) + data[a + nx + 1] * fx) * fy;
  const far = (data[b] * (1 - fx) + data[b + 1] * fx) * (1 - fy) + (data[b + nx] * (1 - fx) + data[b + nx + 1] * fx) * fy;
  return near * (1 - fz) + far * fz;
}

function normalsOf(data, shape, positions) {
  const normals = new Float32Array(positions.length);
  for (let i = 0; i < positions.length; i += 3) {
    const x = positions[i]; const y = positions[i + 1]; const z = positions[i + 2];
    const gx = sample(data, shape, x - 0.7, y, z) - sample(data, shape, x + 0.7, y, z);
    const gy = sample(data, shape, x, y - 0.7, z) - sample(data, shape, x, y + 0.7, z);
    const gz = sample(data, shape, x, y, z - 0.7) - sample(data, shape, x, y, z + 0.7);
    const size = Math.hypot(gx, gy, gz) || 1;
    normals[i] = gx / size; normals[i + 1] = gy / size; normals[i + 2] = gz / size;
  }
  return normals;
}
