"""The feed as what frameworks iterate over."""

from __future__ import annotations

import unittest

from feeder import fed

SCHEMA = {"schema": ["features", "label", "id", "name", "city"]}
END = {"end": None}
DATA = {"data": {"rows": 10, "batch": 4}}
PADDED = [SCHEMA, {"data": {"rows": 8, "batch": 4, "padding": 1}}, END]


class Torch(unittest.TestCase):
    def test_a_loader_gives_batches_as_they_are(self):
        script = """
            import torch
            loader = torch.utils.data.DataLoader(feed.torch_dataset(), batch_size=None)
            for features, label in loader:
                print(tuple(features.shape), label.tolist(), shared(features.data_ptr()))
        """
        lines, report, stderr = fed(script, SCHEMA, DATA, END, environment="pytorch")
        self.assertEqual(lines, [
            "(4, 4) [0.0, 0.5, 1.0, 1.5] True", "(4, 4) [2.0, 2.5, 3.0, 3.5] True", "(2, 4) [4.0, 4.5] True",
        ], stderr)
        self.assertEqual((report["came"], report["end"]), (["end"], 3))

    def test_columns_can_be_chosen(self):
        script = """
            for features, label, weights in feed.torch_dataset(["features", "id"], "label", weights=True):
                print(sorted(features), features["id"].tolist(), weights.tolist())
        """
        lines, _, stderr = fed(script, *PADDED, environment="pytorch")
        self.assertEqual(lines, [
            "['features', 'id'] [0, 1, 2, 3] [1.0, 1.0, 1.0, 1.0]", "['features', 'id'] [4, 5, 6, 7] [1.0, 1.0, 1.0, 0.0]",
        ], stderr)

    def test_a_pass_is_a_dataset_too(self):
        script = """
            for one in feed.passes():
                print(one.number, [len(element) for element in one.torch_dataset("id", None)])
        """
        second = {"data": {"rows": 3, "pass": 1}}
        lines, _, stderr = fed(script, SCHEMA, DATA, {"pass_end": 0}, second, {"pass_end": 1}, END, environment="pytorch")
        self.assertEqual(lines, ["0 [4, 4, 2]", "1 [3]"], stderr)

    def test_workers_are_refused(self):
        script = """
            import torch
            try:
                list(torch.utils.data.DataLoader(feed.torch_dataset(), batch_size=None, num_workers=1))
            except RuntimeError as error:
                print("a ring has one reader" in str(error))
        """
        lines, _, stderr = fed(script, SCHEMA, DATA, END, environment="pytorch")
        self.assertEqual(lines, ["True"], stderr)


class TensorFlow(unittest.TestCase):
    def test_a_dataset_knows_its_shapes(self):
        script = """
            import tensorflow as tf
            dataset = feed.tf_dataset(["features", "city"], "label", weights=True)
            print(dataset.element_spec)
            for features, label, weights in dataset:
                print(features["features"].shape, features["city"].numpy().tolist()[0], label.numpy().tolist(), weights.numpy().tolist())
        """
        lines, report, stderr = fed(script, *PADDED, environment="tensorflow")
        self.assertIn("'features': TensorSpec(shape=(None, 4), dtype=tf.float32, name=None)", lines[0], stderr)
        self.assertIn("'city': TensorSpec(shape=(None,), dtype=tf.string, name=None)", lines[0])
        self.assertEqual(lines[1:], [
            "(4, 4) b'Trier' [0.0, 0.5, 1.0, 1.5] [1.0, 1.0, 1.0, 1.0]", "(4, 4) b'Trier' [2.0, 2.5, 3.0, 3.5] [1.0, 1.0, 1.0, 0.0]",
        ], stderr)
        self.assertEqual(report["end"], 3)

    def test_nulls_are_named(self):
        script = """
            try:
                list(feed.tf_dataset("name", None))
            except Exception as error:
                print("the column `name` has nulls" in str(error))
        """
        lines, _, stderr = fed(script, SCHEMA, DATA, END, environment="tensorflow")
        self.assertEqual(lines, ["True"], stderr)

    def test_graph_mode(self):
        script = """
            import tensorflow as tf
            with tf.Graph().as_default(), tf.compat.v1.Session() as session:
                features, label = tf.compat.v1.data.make_one_shot_iterator(feed.tf_dataset()).get_next()
                total = tf.reduce_sum(features)
                while True:
                    try:
                        print(float(session.run(total)))
                    except tf.errors.OutOfRangeError:
                        break
        """
        lines, _, stderr = fed(script, SCHEMA, DATA, END, environment="tensorflow")
        self.assertEqual(lines, [str(float(sum(range(*part)))) for part in [(0, 16), (16, 32), (32, 40)]], stderr)

    def test_keras_fits(self):
        script = """
            import tensorflow as tf
            model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
            model.compile("sgd", "mse")
            print(len(model.fit(feed.tf_dataset(), verbose=0).history["loss"]), feed.metrics()["rows"])
        """
        lines, _, stderr = fed(script, SCHEMA, DATA, END, environment="tensorflow")
        self.assertEqual(lines, ["1 10"], stderr)


class Mxnet(unittest.TestCase):
    def test_an_iterator_knows_its_shapes(self):
        script = """
            data = feed.mxnet_iter()
            print(data.batch_size, data.provide_data, data.provide_label)
            for batch in data:
                print(batch.data[0].shape, batch.label[0].asnumpy().tolist(), batch.pad)
            data.reset()
            print(list(data))
        """
        lines, report, stderr = fed(script, *PADDED, environment="mxnet")
        self.assertEqual(
            lines[0],
            "4 [DataDesc[features,(4, 4),<class 'numpy.float32'>,NCHW]] [DataDesc[label,(4,),<class 'numpy.float32'>,NCHW]]", stderr,
        )
        self.assertEqual(lines[1:], ["(4, 4) [0.0, 0.5, 1.0, 1.5] 0", "(4, 4) [2.0, 2.5, 3.0, 3.5] 1", "[]"])
        self.assertEqual(report["end"], 3)

    def test_a_module_fits(self):
        script = """
            import mxnet as mx
            net = mx.sym.LinearRegressionOutput(mx.sym.FullyConnected(mx.sym.var("features"), num_hidden=1), mx.sym.var("label"))
            module = mx.mod.Module(net, data_names=["features"], label_names=["label"])
            module.fit(feed.mxnet_iter(), num_epoch=1, eval_metric="mse")
            print(feed.metrics()["rows"])
        """
        lines, _, stderr = fed(script, *PADDED, environment="mxnet")
        self.assertEqual(lines, ["8"], stderr)


if __name__ == "__main__":
    unittest.main()
