// The 3D scene: surfaces of maps, a sphere that can be dragged, a camera. Lengths are in A; x, y and z of the map are x, y and z here, so hands are kept.
import * as THREE from "three";
import { OrbitControls } from "three/OrbitControls";
import { TransformControls } from "three/TransformControls";

export class MapScene {
  constructor(canvas, { onSphere, onDrawn } = {}) {
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true, preserveDrawingBuffer: true });
    this.renderer.setPixelRatio(Math.min(2, devicePixelRatio || 1));
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(32, 1, 0.1, 10000);
    this.scene.add(new THREE.HemisphereLight(0xeef7fb, 0x24343d, 1.5));
    const key = new THREE.DirectionalLight(0xffffff, 2.1);
    key.position.set(0.6, 0.8, 1);
    this.camera.add(key);
    this.scene.add(this.camera);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.addEventListener("change", () => this.draw());
    this.layers = new Map();
    this.centre = new THREE.Vector3();
    this.reach = 100;
    this.clip = 0;
    this.onDrawn = onDrawn;
    this.sphere = new THREE.Mesh(new THREE.SphereGeometry(1, 48, 32), new THREE.MeshStandardMaterial({ color: 0xffc857, transparent: true, opacity: 0.32, depthWrite: false, roughness: 0.5 }));
    this.sphere.renderOrder = 5;
    this.sphere.visible = false;
    this.scene.add(this.sphere);
    this.handle = new TransformControls(this.camera, canvas);
    this.handle.setSize(0.8);
    this.handle.addEventListener("dragging-changed", (event) => { this.controls.enabled = !event.value; });
    this.handle.addEventListener("change", () => this.draw());
    this.handle.addEventListener("objectChange", () => onSphere?.(this.sphereA()));
    this.helper = this.handle.getHelper();
    this.scene.add(this.helper);
    this.helper.visible = false;
    this.pending = 0;
  }

  // Look at a map of this size (A) as a whole.
  frame(sizeA) {
    this.centre.set(...sizeA.map((size) => size / 2));
    this.reach = Math.max(...sizeA);
    this.controls.target.copy(this.centre);
    this.view([0, 0, 1]);
  }

  view(direction) {
    const far = this.reach * 1.75;
    this.camera.position.copy(this.centre).addScaledVector(new THREE.Vector3(...direction).normalize(), far);
    this.camera.up.set(...(Math.abs(direction[1]) > 0.9 ? [0, 0, -1] : [0, 1, 0]));
    this.controls.update();
    this.draw();
  }

  // Put a surface into the scene; positions are voxels, brought to A by `scale`.
  setSurface(name, mesh, scale, look) {
    this.drop(name);
    const geometry = new THREE.BufferGeometry();
    const positions = mesh.positions;
    for (let i = 0; i < positions.length; i += 1) positions[i] = ((positions[i] + 0.5) * scale.factor - 0.5) * scale.pixel;
    geometry.setAttribute("position", new THREE.BufferAttribute(positions, 3));
    geometry.setAttribute("normal", new THREE.BufferAttribute(mesh.normals, 3));
    geometry.setIndex(new THREE.BufferAttribute(mesh.triangles, 1));
    if (mesh.colours) geometry.setAttribute("color", new THREE.BufferAttribute(ramp(mesh.colours, look.range), 3));
    const material = new THREE.MeshStandardMaterial({ color: mesh.colours ? 0xffffff : look.colour, vertexColors: Boolean(mesh.colours), roughness: 0.55, metalness: 0.02, side: THREE.DoubleSide, transparent: look.opacity < 1, opacity: look.opacity, depthWrite: look.opacity >= 1 });
    const made = new THREE.Mesh(geometry, material);
    this.layers.set(name, made);
    this.scene.add(made);
    this.draw();
  }

  drop(name) {
    const old = this.layers.get(name);
    if (!old) return;
    this.scene.remove(old);
    old.geometry.dispose();
    old.material.dispose();
    this.layers.delete(name);
    this.draw();
  }

  // Show the sphere, in A from the centre of the first voxel; null hides it.
  setSphere(sphere) {
    this.sphere.visible = this.helper.visible = Boolean(sphere);
    if (sphere) {
      this.sphere.position.set(sphere.x, sphere.y, sphere.z);
      this.sphere.scale.setScalar(Math.max(0.1, sphere.radius));
      if (this.handle.object !== this.sphere) this.handle.attach(this.sphere);
    } else this.handle.detach();
    this.draw();
  }

  sphereA() {
    const { x, y, z } = this.sphere.position;
    return { x, y, z, radius: this.sphere.scale.x };
  }

  // Where a place in A is on the screen: for tests and labels.
  onScreen(x, y, z) {
    const found = new THREE.Vector3(x, y, z).project(this.camera);
    const box = this.renderer.domElement.getBoundingClientRect();
    return [box.left + ((found.x + 1) / 2) * box.width, box.top + ((1 - found.y) / 2) * box.height];
  }

  setClip(part) { this.clip = part; this.draw(); }

  resize(width, height) {
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / Math.max(1, height);
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  draw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      const far = this.camera.position.distanceTo(this.controls.target);
      this.camera.near = this.clip > 0 ? Math.max(0.1, far - this.reach * 0.75 + this.clip * this.reach * 1.1) : Math.max(0.1, far / 100);
      this.camera.far = far + this.reach * 4;
      this.camera.updateProjectionMatrix();
      this.renderer.render(this.scene, this.camera);
      this.onDrawn?.();
    });
  }

  end() {
    cancelAnimationFrame(this.pending);
    for (const name of [...this.layers.keys()]) this.drop(name);
    cancelAnimationFrame(this.pending);
    this.handle.dispose();
    this.controls.dispose();
    this.renderer.dispose();
  }
}

// Values to colours from blue over white to red.
function ramp(values, [low, high]) {
  const made = new Float32Array(values.length * 3);
  const stops = [[0.13, 0.35, 0.75], [0.45, 0.75, 0.87], [0.95, 0.95, 0.9], [0.95, 0.62, 0.3], [0.75, 0.15, 0.13]];
  for (let i = 0; i < values.length; i += 1) {
    const part = Math.min(0.9999, Math.max(0, (values[i] - low) / (high - low || 1))) * (stops.length - 1);
    const [a, b] = [stops[Math.floor(part)], stops[Math.floor(part) + 1]];
    for (let c = 0; c < 3; c += 1) made[3 * i + c] = a[c] + (part - Math.floor(part)) * (b[c] - a[c]);
  }
  return made;
}
