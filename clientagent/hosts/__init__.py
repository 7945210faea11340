"""Hosts run the client code of other frameworks in this process, unchanged. One folder or file for each framework.

A host is to the library what a script is: it gets work, has the framework's code do it, and sends what came of it. It
imports its framework at one door, and only once somebody asks for it: the product needs none of them.
"""
